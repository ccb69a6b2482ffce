"""The columns of what a change list's rows are related to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from django.db import models

from django_infra.exporter.changelists.groups import ColumnGroup, make_group
from django_infra.exporter.changelists.pages import may_hold_password
from django_infra.exporter.changelists.relations import Relation, list_relations
from django_infra.exporter.changelists.shown import Shown


class RelatedGroups:
    """What relations lead to, as far as pages or paths in the change list show it."""

    def __init__(self, shown: Shown, listed: frozenset[str], paths: Collection[str] | None) -> None:
        self.shown = shown
        self.listed = listed
        # What is asked for; None asks for all.
        self.paths = paths

    def list_groups(
        self,
        model: type[models.Model],
        fields: Sequence[Any] | None,
        *,
        depth: int,
        path: str = "",
        label: str = "",
        came_by: str | None = None,
        may_be_missing: bool = False,
    ) -> Iterator[ColumnGroup]:
        """Yield the groups behind a model of which these fields are shown, None if no page is."""
        if depth == 0:
            return
        for relation in list_relations(model):
            where = f"{path}{relation.name}__"
            if relation.name == came_by or not self._is_asked(where):
                continue
            if not self.shown.is_whole(relation.model):
                continue
            may_follow = fields is not None and self.shown.may_follow(relation, fields)
            is_listed = any(each.startswith(where) for each in self.listed)
            if not (may_follow or is_listed):
                continue
            name = f"{label}: {relation.label}" if label else relation.label
            found = self._list_fields(relation) if may_follow else None
            listed = self._list_listed(relation, where) if is_listed else []
            fields_shown = dict.fromkeys([*(found or ()), *listed])
            is_optional = may_be_missing or relation.is_backward or relation.field.null
            group = make_group(
                relation.model, fields_shown, path=where, label=name, may_be_missing=is_optional
            )
            if group.columns:
                yield group
            yield from self.list_groups(
                relation.model,
                found,
                depth=depth - 1,
                path=where,
                label=name,
                came_by=relation.reverse,
                may_be_missing=is_optional,
            )

    def _is_asked(self, start: str) -> bool:
        return self.paths is None or any(path.startswith(start) for path in self.paths)

    def _list_fields(self, relation: Relation) -> list[Any]:
        came_by = relation.field if relation.is_backward else None
        return self.shown.list_fields(relation.model, came_by)

    def _list_listed(self, relation: Relation, path: str) -> list[Any]:
        """Return the fields to which a path in the change list leads."""
        return [
            field
            for field in relation.model._meta.concrete_fields
            if not self.listed.isdisjoint((path + field.name, path + field.attname))
            and not may_hold_password(field.name, field)
        ]

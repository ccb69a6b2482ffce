"""Offer the columns of what a change list's rows are related to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from django.db import models

from django_infra.exporter.changelists.groups import ColumnGroup, make_group
from django_infra.exporter.changelists.inputs import Field
from django_infra.exporter.changelists.pages import may_hold_password
from django_infra.exporter.changelists.relations import list_relations
from django_infra.exporter.changelists.shown import Shown


@dataclass(frozen=True)
class Way:
    """A way through relations to a model, and what pages show at its end."""

    model: type[models.Model]
    # Pages show them of every row; None if the user sees none of the model's pages.
    fields: Sequence[Field] | None
    path: str = ""
    label: str = ""
    # The relation that leads back to where the way came from.
    came_by: str | None = None
    may_be_missing: bool = False


class RelatedGroups:
    """What relations lead to, as far as pages or paths in the change list show it."""

    def __init__(self, shown: Shown, listed: frozenset[str], paths: Collection[str] | None) -> None:
        self.shown = shown
        self.listed = listed
        # Only these columns are asked for; None asks for all.
        self.paths = paths

    def list_groups(self, way: Way, *, depth: int) -> Iterator[ColumnGroup]:
        """Yield the groups of the models that at most so many relations lead to."""
        if depth == 0:
            return
        for relation in list_relations(way.model):
            model, path = relation.model, f"{way.path}{relation.name}__"
            is_asked = self.paths is None or any(each.startswith(path) for each in self.paths)
            if relation.name == way.came_by or not is_asked or not self.shown.is_whole(model):
                continue
            fields = None
            if way.fields is not None and self.shown.may_follow(relation, way.fields):
                came_by = relation.field if relation.is_backward else None
                fields = self.shown.list_fields(model, came_by)
            is_listed = any(each.startswith(path) for each in self.listed)
            if fields is None and not is_listed:
                continue
            # A path in the change list shows its end, whatever the pages of the model show.
            ends = [
                field
                for field in model._meta.concrete_fields
                if not self.listed.isdisjoint((path + field.name, path + field.attname))
                and not may_hold_password(field.name, field)
            ]
            label = f"{way.label}: {relation.label}" if way.label else relation.label
            is_optional = way.may_be_missing or relation.is_backward or relation.field.null
            further = Way(model, fields, path, label, relation.reverse, is_optional)
            group = make_group(
                model,
                dict.fromkeys([*(fields or ()), *ends]),
                path=path,
                label=label,
                may_be_missing=is_optional,
            )
            if group.columns:
                yield group
            yield from self.list_groups(further, depth=depth - 1)

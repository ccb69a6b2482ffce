"""The columns of a change list's rows that a user may have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.utils import label_for_field
from django.contrib.auth import get_user_model
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from django_infra.exporter.changelists.labels import make_label
from django_infra.exporter.changelists.pages import may_hold_password
from django_infra.exporter.changelists.relations import Relation, list_relations
from django_infra.exporter.changelists.shown import Shown
from django_infra.exporter.columns import Value
from django_infra.exporter.conf import conf

# What a related row is mostly called, in place of its key.
NAMES = ("name", "title", get_user_model().USERNAME_FIELD)


@dataclass(frozen=True)
class OfferedColumn:
    path: str
    label: str
    # In the file, unless it is to have the names of fields.
    header: str
    # The field whose choices have the labels that the column shows, and where it is.
    labelled: tuple[str, Any] | None = None

    @property
    def source(self) -> str:
        """Return the path of the field whose values, or their labels, the column shows."""
        return self.path if self.labelled is None else self.labelled[0]

    @property
    def value(self) -> Value:
        """What ``select()`` takes as the column."""
        return self.path if self.labelled is None else make_label(*self.labelled)


@dataclass(frozen=True)
class ColumnGroup:
    """The columns of one model: that of the change list, or one that a relation leads to."""

    label: str
    path: str
    columns: Sequence[OfferedColumn]


def list_groups(
    model_admin: ModelAdmin[Any], request: HttpRequest, queryset: QuerySet[Any, Any]
) -> list[ColumnGroup]:
    """Return the columns that the user may export: those of the model first, then the related."""
    shown = Shown(model_admin, request)
    fields = shown.list_own_fields()
    related = _Related(shown, _list_paths(model_admin, request))
    groups = [
        replace(_make_group(fields), label=str(capfirst(model_admin.opts.verbose_name))),
        *related.list_groups(model_admin.model, fields, depth=conf.admin_related_depth),
    ]
    # A path that is also the name of an annotation would lead to that.
    groups = _leave_out(groups, {*queryset.query.annotations, *queryset.query.extra})
    annotations = _list_annotations(model_admin, request, queryset)
    groups[0] = replace(groups[0], columns=[*groups[0].columns, *annotations])
    return _tell_apart(_restrict(model_admin, groups))


def list_columns(groups: Iterable[ColumnGroup]) -> dict[str, OfferedColumn]:
    """Return the columns of all groups by their paths."""
    return {column.path: column for group in groups for column in group.columns}


def get_default_paths(
    model_admin: ModelAdmin[Any], request: HttpRequest, groups: Sequence[ColumnGroup]
) -> list[str]:
    """Return what the change list shows, as far as it can be exported; else the model's own."""
    found = [path for _, path in _match_display(model_admin, request, groups) if path is not None]
    return list(dict.fromkeys(found)) or [column.path for column in groups[0].columns]


def get_computed_names(
    model_admin: ModelAdmin[Any], request: HttpRequest, groups: Sequence[ColumnGroup]
) -> list[str]:
    """Return the labels of what the change list shows, and no column stands for."""
    return [
        str(label_for_field(name, model_admin.model, model_admin))
        for name, path in _match_display(model_admin, request, groups)
        if path is None and name != "__str__"
    ]


def _match_display(
    model_admin: ModelAdmin[Any], request: HttpRequest, groups: Sequence[ColumnGroup]
) -> Iterator[tuple[Any, str | None]]:
    columns = list_columns(groups)
    for name in model_admin.get_list_display(request):
        if name == "action_checkbox":
            continue
        shown = [f"get_{name}_display", *(f"{name}__{each}" for each in NAMES)]
        candidates = [*shown, _name_key(name, model_admin), _get_ordering(name, model_admin)]
        yield name, next((path for path in candidates if path in columns), None)


def _name_key(name: Any, model_admin: ModelAdmin[Any]) -> Any:
    return model_admin.opts.pk.name if name == "pk" and model_admin.opts.pk else name


def _get_ordering(name: Any, model_admin: ModelAdmin[Any]) -> str | None:
    """Return what a computed column of the change list says that it is ordered by."""
    function = name if callable(name) else getattr(model_admin, name, None)
    if function is None:
        function = getattr(model_admin.model, name, None)
    if isinstance(function, property):
        function = function.fget
    ordering = getattr(function, "admin_order_field", None)
    return ordering.lstrip("-") if isinstance(ordering, str) else None


def _list_annotations(
    model_admin: ModelAdmin[Any], request: HttpRequest, queryset: QuerySet[Any, Any]
) -> Iterator[OfferedColumn]:
    """Yield the annotations that the change list shows, called as its columns are."""
    shown = {
        each: name
        for name in model_admin.get_list_display(request)
        for each in (_get_attribute(name, model_admin), _get_ordering(name, model_admin))
    }
    for name, expression in queryset.query.annotation_select.items():
        is_secret = may_hold_password(name, getattr(expression, "_output_field_or_none", None))
        if name in shown and not is_secret:
            label = capfirst(str(label_for_field(shown[name], model_admin.model, model_admin)))
            yield OfferedColumn(name, label, label)


def _get_attribute(name: Any, model_admin: ModelAdmin[Any]) -> str | None:
    """Return the name if it is that of an attribute of the row, and of nothing that computes."""
    is_computed = callable(name) or hasattr(model_admin, name)
    return None if is_computed or not hasattr(model_admin.model, name) else str(name)


def _list_paths(model_admin: ModelAdmin[Any], request: HttpRequest) -> frozenset[str]:
    """Return the paths through relations that the change list shows the ends of."""
    names = model_admin.get_list_display(request)
    paths = [name for name in names if isinstance(name, str) and not hasattr(model_admin, name)]
    return frozenset(path for path in paths if not hasattr(model_admin.model, path))


def _make_group(fields: Iterable[Any], *, path: str = "", label: str = "") -> ColumnGroup:
    columns = []
    for field in fields:
        for column in _list_columns(field, path):
            header = f"{label}: {column.label}" if label else column.label
            columns.append(replace(column, header=header))
    return ColumnGroup(label, path, columns)


def _list_columns(field: Any, path: str) -> Iterator[OfferedColumn]:
    name, where = str(capfirst(field.verbose_name)), path + field.name
    if field.is_relation:
        name = _("%s (ID)") % name
    elif field.flatchoices:
        yield OfferedColumn(f"{path}get_{field.name}_display", name, name, (where, field))
        name = _("%s (code)") % name
    yield OfferedColumn(where, name, name)


class _Related:
    """What relations lead to, as far as pages or paths in the change list show it."""

    def __init__(self, shown: Shown, listed: frozenset[str]) -> None:
        self.shown = shown
        self.listed = listed

    def list_groups(
        self,
        model: type[models.Model],
        fields: Sequence[Any] | None,
        *,
        depth: int,
        path: str = "",
        label: str = "",
        came_by: str | None = None,
    ) -> Iterator[ColumnGroup]:
        """Yield the groups behind a model of which these fields are shown, None if no page is."""
        if depth == 0:
            return
        for relation in list_relations(model):
            where = f"{path}{relation.name}__"
            may_follow = fields is not None and self.shown.may_follow(relation, fields)
            is_listed = any(each.startswith(where) for each in self.listed)
            if relation.name == came_by or not (may_follow or is_listed):
                continue
            name = f"{label}: {relation.label}" if label else relation.label
            found = self._list_fields(relation) if may_follow else None
            listed = self._list_listed(relation, where)
            group = _make_group(dict.fromkeys([*(found or ()), *listed]), path=where, label=name)
            if group.columns:
                yield group
            yield from self.list_groups(
                relation.model,
                found,
                depth=depth - 1,
                path=where,
                label=name,
                came_by=relation.reverse,
            )

    def _list_fields(self, relation: Relation) -> list[Any]:
        came_by = relation.field if relation.is_backward else None
        return self.shown.list_fields(relation.model, came_by)

    def _list_listed(self, relation: Relation, path: str) -> list[Any]:
        """Return the fields to which a path in the change list leads."""
        if not self.shown.is_whole(relation.model):
            return []
        return [
            field
            for field in relation.model._meta.concrete_fields
            if not self.listed.isdisjoint((path + field.name, path + field.attname))
            and not may_hold_password(field.name, field)
        ]


def _restrict(model_admin: ModelAdmin[Any], groups: Sequence[ColumnGroup]) -> list[ColumnGroup]:
    """Keep what the admin itself allows, if it says so."""
    hidden = tuple(f"{path}__" for path in getattr(model_admin, "export_exclude", ()))
    # What a path leads to goes with it.
    return _filter(groups, lambda path: not f"{path}__".startswith(hidden))


def _leave_out(groups: Sequence[ColumnGroup], names: Collection[str]) -> list[ColumnGroup]:
    return _filter(groups, lambda path: path not in names)


def _filter(groups: Sequence[ColumnGroup], keeps: Callable[[str], bool]) -> list[ColumnGroup]:
    """Return the groups with the columns of which the path is kept, and that of the source."""
    filtered = [
        replace(
            group,
            columns=[each for each in group.columns if keeps(each.path) and keeps(each.source)],
        )
        for group in groups
    ]
    return [group for group in filtered if group.columns or not group.path]


def _tell_apart(groups: Sequence[ColumnGroup]) -> list[ColumnGroup]:
    """Add the path to headers that several columns have."""
    counts = Counter(column.header for group in groups for column in group.columns)
    return [
        replace(
            group,
            columns=[
                column
                if counts[column.header] == 1
                else replace(column, header=f"{column.header} ({column.path})")
                for column in group.columns
            ],
        )
        for group in groups
    ]

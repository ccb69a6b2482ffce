"""The columns of a change list's rows that a user may have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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
from django_infra.exporter.changelists.relations import Relation, list_relations
from django_infra.exporter.changelists.shown import list_fields, may_hold_password, may_view
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
    own = _make_group(model_admin, request, model_admin.model)
    annotations = _list_annotations(model_admin, request, queryset)
    label = str(capfirst(model_admin.opts.verbose_name))
    groups = [
        replace(own, label=label, columns=[*own.columns, *annotations]),
        *_list_related(model_admin, request, model_admin.model, depth=conf.admin_related_depth),
    ]
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
    """Yield the annotations, called as the column of the change list that shows them."""
    labels = {
        _get_ordering(name, model_admin): label_for_field(name, model_admin.model, model_admin)
        for name in model_admin.get_list_display(request)
    }
    for name, expression in queryset.query.annotation_select.items():
        if may_hold_password(name, getattr(expression, "_output_field_or_none", None)):
            continue
        label = capfirst(str(labels.get(name, name.replace("_", " ").strip())))
        yield OfferedColumn(name, label, label)


def _make_group(
    model_admin: ModelAdmin[Any],
    request: HttpRequest,
    model: type[models.Model],
    *,
    path: str = "",
    label: str = "",
) -> ColumnGroup:
    columns = []
    for field in list_fields(model_admin, request, model):
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


def _list_related(
    model_admin: ModelAdmin[Any],
    request: HttpRequest,
    model: type[models.Model],
    *,
    depth: int,
    path: str = "",
    label: str = "",
    came_by: str | None = None,
) -> Iterator[ColumnGroup]:
    """Yield the groups of the models that the user may view, and what they lead to."""
    if depth == 0:
        return
    for relation in list_relations(model):
        where: dict[str, Any] = {
            "path": f"{path}{relation.name}__",
            "label": f"{label}: {relation.label}" if label else relation.label,
        }
        is_back = relation.name == came_by
        if is_back or not _may_follow(model_admin, request, relation, where["path"]):
            continue
        group = _make_group(model_admin, request, relation.model, **where)
        if group.columns:
            yield group
        yield from _list_related(
            model_admin,
            request,
            relation.model,
            depth=depth - 1,
            came_by=relation.reverse,
            **where,
        )


def _may_follow(
    model_admin: ModelAdmin[Any], request: HttpRequest, relation: Relation, path: str
) -> bool:
    """Tell whether the user may see what is related, and to what it is."""
    if not may_view(model_admin, request, relation.model):
        return False
    listed = model_admin.get_list_display(request)
    if any(isinstance(name, str) and name.startswith(path) for name in listed):
        return True
    return relation.field in list_fields(model_admin, request, relation.owner)


def _comes_from(column: OfferedColumn, paths: tuple[str, ...]) -> bool:
    return any(f"{path}__".startswith(paths) for path in (column.path, column.source))


def _restrict(model_admin: ModelAdmin[Any], groups: Sequence[ColumnGroup]) -> list[ColumnGroup]:
    """Keep what the admin itself allows, if it says so."""
    hidden = tuple(f"{path}__" for path in getattr(model_admin, "export_exclude", ()))
    restricted = [
        replace(
            group,
            # What a path leads to goes with it.
            columns=[each for each in group.columns if not _comes_from(each, hidden)],
        )
        for group in groups
    ]
    return [group for group in restricted if group.columns or not group.path]


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

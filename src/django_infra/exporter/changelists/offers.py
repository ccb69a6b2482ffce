"""The columns of a change list's rows that a user may have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.utils import label_for_field
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst

from django_infra.exporter.changelists.groups import (
    ColumnGroup,
    OfferedColumn,
    filter_groups,
    list_columns,
    make_group,
    tell_apart,
)
from django_infra.exporter.changelists.pages import may_hold_password
from django_infra.exporter.changelists.related import RelatedGroups
from django_infra.exporter.changelists.shown import Shown
from django_infra.exporter.conf import conf

# What a related row is mostly called, in place of its key.
NAMES = ("name", "title", get_user_model().USERNAME_FIELD)


def list_groups(
    model_admin: ModelAdmin[Any],
    request: HttpRequest,
    queryset: QuerySet[Any, Any],
    *,
    paths: Collection[str] | None = None,
) -> list[ColumnGroup]:
    """Return the columns that the user may export: those of the model first, then the related.

    With ``paths``, no pages are asked but those that decide about these.
    """
    shown = Shown(model_admin, request, using=queryset.db)
    fields = shown.list_own_fields()
    related = RelatedGroups(shown, _list_paths(model_admin, request), paths)
    groups = [
        replace(
            make_group(model_admin.model, fields),
            label=str(capfirst(model_admin.opts.verbose_name)),
        ),
        *related.list_groups(model_admin.model, fields, depth=conf.admin_related_depth),
    ]
    # A path that is also the name of an annotation would lead to that.
    if names := {*queryset.query.annotations, *queryset.query.extra}:
        groups = filter_groups(groups, lambda path: path not in names)
    annotations = _list_annotations(model_admin, request, queryset)
    groups[0] = replace(groups[0], columns=[*groups[0].columns, *annotations])
    return tell_apart(_restrict(model_admin, groups))


def get_default_paths(
    model_admin: ModelAdmin[Any], request: HttpRequest, groups: Sequence[ColumnGroup]
) -> list[str]:
    """Return what the change list shows, as far as it can be exported; else the model's own."""
    found = [path for _, path in _match_display(model_admin, request, groups) if path is not None]
    return list(dict.fromkeys(found)) or [column.path for column in groups[0].columns]


def get_computed_names(
    model_admin: ModelAdmin[Any], request: HttpRequest, groups: Sequence[ColumnGroup]
) -> list[str]:
    """Return the labels of what the user sees, and no column stands for."""
    listed = [
        str(label_for_field(name, model_admin.model, model_admin))
        for name, path in _match_display(model_admin, request, groups)
        if path is None and name != "__str__"
    ]
    return [*listed, *(label for group in groups for label in group.computed.values())]


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


def _restrict(model_admin: ModelAdmin[Any], groups: list[ColumnGroup]) -> list[ColumnGroup]:
    """Keep what the admin itself allows, if it says so."""
    hidden = tuple(f"{path}__" for path in getattr(model_admin, "export_exclude", ()))
    if not hidden:
        return groups
    # What a path leads to goes with it.
    return filter_groups(groups, lambda path: not f"{path}__".startswith(hidden))

"""Offer the columns of a change list's rows that its user may have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.utils import label_for_field
from django.contrib.auth import get_user_model
from django.db.models import Model
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
from django_infra.exporter.changelists.related import RelatedGroups, Way
from django_infra.exporter.changelists.rows import Listing
from django_infra.exporter.changelists.shown import Shown
from django_infra.exporter.columns import AnyQuerySet
from django_infra.exporter.conf import conf

# A related row is mostly known by one of these, and not by its key.
NAMES = ("name", "title", get_user_model().USERNAME_FIELD)


def list_groups(
    listing: Listing, rows: AnyQuerySet, *, paths: Collection[str] | None = None
) -> list[ColumnGroup]:
    """Return the columns that the user may export: those of the model first, then the related.

    With ``paths``, no pages are asked but those that decide about these.
    """
    model_admin = listing.model_admin
    shown = Shown(listing, using=rows.db)
    fields = shown.list_own_fields()
    names = model_admin.get_list_display(listing.request)
    # What neither the admin nor the model has is a path through relations.
    listed = [name for name in names if isinstance(name, str) and not hasattr(model_admin, name)]
    ends = frozenset(path for path in listed if not hasattr(model_admin.model, path))
    related = RelatedGroups(shown, ends, paths)
    groups = [
        replace(
            make_group(model_admin.model, fields),
            label=str(capfirst(model_admin.opts.verbose_name)),
        ),
        *related.list_groups(Way(model_admin.model, fields), depth=conf.admin_related_depth),
    ]
    # A path that is also the name of an annotation would lead to that.
    if annotated := {*rows.query.annotations, *rows.query.extra}:
        groups = filter_groups(groups, lambda path: path not in annotated)
    annotations = _list_annotations(listing, rows)
    groups[0] = replace(groups[0], columns=[*groups[0].columns, *annotations])
    if hidden := tuple(f"{path}__" for path in getattr(model_admin, "export_exclude", ())):
        # A relation that is kept back takes along what it leads to.
        groups = filter_groups(groups, lambda path: not f"{path}__".startswith(hidden))
    return tell_apart(groups)


def get_default_paths(listing: Listing, groups: Sequence[ColumnGroup]) -> list[str]:
    """Return what the change list shows, as far as it can be exported; else the model's own."""
    found = [path for _, path in _match_display(listing, groups) if path is not None]
    return list(dict.fromkeys(found)) or [column.path for column in groups[0].columns]


def get_computed_names(listing: Listing, groups: Sequence[ColumnGroup]) -> list[str]:
    """Return the labels of what the user sees, and no column stands for."""
    model_admin = listing.model_admin
    listed = [
        str(label_for_field(name, model_admin.model, model_admin))
        for name, path in _match_display(listing, groups)
        if path is None and name != "__str__"
    ]
    return [*listed, *(label for group in groups for label in group.computed.values())]


def _match_display(
    listing: Listing, groups: Sequence[ColumnGroup]
) -> Iterator[tuple[Any, str | None]]:
    """Yield what the change list shows, each with the path of the column that stands for it."""
    columns, key = list_columns(groups), listing.model_admin.opts.pk
    for name in listing.model_admin.get_list_display(listing.request):
        if name == "action_checkbox":
            continue
        candidates = [
            f"get_{name}_display",
            *(f"{name}__{each}" for each in NAMES),
            key.name if name == "pk" and key else name,
            _get_ordering(name, listing.model_admin),
        ]
        yield name, next((path for path in candidates if path in columns), None)


def _get_ordering(name: Any, model_admin: ModelAdmin[Model]) -> str | None:
    """Return what a computed column of the change list says that it is ordered by."""
    function = name if callable(name) else getattr(model_admin, name, None)
    if function is None:
        function = getattr(model_admin.model, name, None)
    if isinstance(function, property):
        function = function.fget
    ordering = getattr(function, "admin_order_field", None)
    return ordering.lstrip("-") if isinstance(ordering, str) else None


def _list_annotations(listing: Listing, rows: AnyQuerySet) -> Iterator[OfferedColumn]:
    """Yield the annotations that the change list shows, called as its columns are."""
    model_admin = listing.model_admin
    shown: dict[str, Any] = {}
    for name in model_admin.get_list_display(listing.request):
        # What the admin defines computes a value, even if it has the name of an annotation.
        is_attribute = not callable(name) and hasattr(model_admin.model, name)
        if is_attribute and not hasattr(model_admin, str(name)):
            shown[str(name)] = name
        if ordering := _get_ordering(name, model_admin):
            shown[ordering] = name
    for name, expression in rows.query.annotation_select.items():
        is_secret = may_hold_password(name, getattr(expression, "_output_field_or_none", None))
        if name in shown and not is_secret:
            label = capfirst(str(label_for_field(shown[name], model_admin.model, model_admin)))
            yield OfferedColumn(name, label, label)

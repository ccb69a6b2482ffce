"""What the pages of one ModelAdmin, or of one inline, show of each of its rows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from django import forms
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth.forms import ReadOnlyPasswordHashWidget
from django.core.exceptions import FieldError
from django.db import models
from django.db.models import QuerySet
from django.db.models.query import ModelIterable
from django.http import HttpRequest

from django_infra.exporter.changelists.inputs import shows_value
from django_infra.exporter.changelists.overrides import (
    FIELDS_METHODS,
    FORM_METHODS,
    LIST_METHODS,
    QUERYSET_METHODS,
    ROW_METHODS,
    are_djangos,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

# What says something about a password, such as when it was changed, and cannot hold one.
HARMLESS = (
    models.BooleanField,
    models.DateField,
    models.DurationField,
    models.ForeignKey,
    models.IntegerField,
)
PASSWORD_WIDGETS = (forms.PasswordInput, ReadOnlyPasswordHashWidget)


def may_hold_password(name: str, field: models.Field[Any, Any] | None) -> bool:
    return "password" in name.lower() and not isinstance(field, HARMLESS)


def ask(source: Any, function: Callable[[], T], default: T) -> T:
    """Return what a project's code answers, or the default if it fails.

    It may need what middleware adds to a request, and a worker's request has not.
    """
    try:
        return function()
    except Exception:
        logger.warning("What %r shows is not known.", source, exc_info=True)
        return default


def has_every_row(rows: Any, *, using: str) -> bool:
    """Tell whether the queryset keeps no row of the database back, and shows each as it is."""
    if not isinstance(rows, QuerySet) or rows._iterable_class is not ModelIterable:
        return False
    if rows.db != using:
        return False
    query = rows.query
    is_cut = query.where or query.is_sliced or query.combinator or query.distinct_fields
    return not (is_cut or query.extra_tables) and are_djangos(rows, QUERYSET_METHODS)


@dataclass(frozen=True)
class _Form:
    """What a page has of a row beside its list."""

    names: frozenset[Any] = frozenset()
    # Those of the names that are only shown.
    readonly: frozenset[Any] = frozenset()
    # What has inputs for the others, and the names that it fills from a row; None fills all.
    form_class: Any = None
    filled: Any = None


class Page:
    """The list and the form of a ModelAdmin, or the form of an inline, for one user."""

    def __init__(self, source: Any, request: HttpRequest, *, parent: Page | None = None) -> None:
        self.source = source
        self.request = request
        # Where an inline stands.
        self.parent = parent

    def list_fields(self, model: type[models.Model]) -> list[Any]:
        """Return the fields of which the user sees the values, in all rows."""
        if not (self.is_listed or self.has_form):
            return []
        return [field for field in model._meta.concrete_fields if self._shows(field)]

    def _shows(self, field: Any) -> bool:
        if may_hold_password(field.name, field) or field.name in self._hidden:
            return False
        widget = getattr(self._form_fields.get(field.name), "widget", None)
        if isinstance(widget, PASSWORD_WIDGETS):
            return False
        if field.primary_key or field.name in self.listed or field.attname in self.listed:
            return True
        if field.name in self._form.names:
            return field.name in self._form.readonly or self._is_in_form(field)
        if field.attname in self._form.names:
            return field.attname in self._form.readonly
        # No form has such a field, and when a row was made or changed is no secret of it.
        is_time = isinstance(field, models.DateField | models.TimeField)
        return is_time and not field.editable and self._shows_all

    @cached_property
    def is_listed(self) -> bool:
        return self.parent is None and self._may_view

    @cached_property
    def has_form(self) -> bool:
        """Whether the user can open the same form of every row."""
        return self._form.form_class is not None

    def shows_every_row(self, *, using: str) -> bool:
        """Tell whether no row is kept from the user, as a join would not know which."""
        if not are_djangos(self.source, LIST_METHODS):
            return False
        return has_every_row(self._rows, using=using)

    @cached_property
    def _rows(self) -> Any:
        return ask(self.source, lambda: self.source.get_queryset(self.request), None)

    @cached_property
    def listed(self) -> frozenset[Any]:
        """Names in the list; what it shows of them, it shows in every row."""
        if not self.is_listed:
            return frozenset()
        names = ask(self.source, lambda: self.source.get_list_display(self.request), ())
        return frozenset(names)

    @cached_property
    def _may_view(self) -> bool:
        may_view = self.source.has_view_or_change_permission
        return bool(ask(self.source, lambda: may_view(self.request), False))

    @property
    def is_declared_same(self) -> bool:
        """Whether the project says that nothing is hidden of some rows alone."""
        return getattr(self.source, "export_same_for_all_rows", False) is True

    @cached_property
    def _is_same_for_all_rows(self) -> bool:
        if self.is_declared_same:
            return True
        if not are_djangos(self.source, ROW_METHODS):
            return False
        # Else it is the permission to change, which a project may give row by row.
        may_view = self.source.has_view_permission(self.request)
        return may_view and are_djangos(self.source.form, FORM_METHODS)

    @cached_property
    def _hidden(self) -> set[str]:
        exclude = ask(self.source, lambda: self.source.get_exclude(self.request, None), ()) or ()
        return {*exclude, *getattr(self.source, "export_exclude", ())}

    @cached_property
    def _shows_all(self) -> bool:
        """Whether nobody has chosen the fields of the form."""
        if self.source.fields or self.source.fieldsets:
            return False
        return self.has_form and are_djangos(self.source, ("get_fields", "get_fieldsets"))

    @property
    def _form_fields(self) -> dict[str, forms.Field]:
        form_class = self._form.form_class
        return {} if form_class is None else form_class.base_fields

    @cached_property
    def _form(self) -> _Form:
        if not (self._is_same_for_all_rows and self._may_view):
            return _Form()
        if self.parent is not None and not self.parent.has_form:
            return _Form()
        return ask(self.source, self._make_form, _Form())

    def _make_form(self) -> _Form:
        source, request = self.source, self.request
        row = (source if self.parent is None else self.parent.source).model()
        readonly = frozenset(source.get_readonly_fields(request, row))
        is_asked = source.fields or source.fieldsets
        if not is_asked and are_djangos(source, FIELDS_METHODS):
            # Django would make this form to see which fields it has, and the same once more.
            form_class = self._make_form_class(row, None)
            names = readonly.union(form_class.base_fields)
            return _Form(names, readonly, form_class)
        names = frozenset(flatten_fieldsets(source.get_fieldsets(request, row)))
        form_class = self._make_form_class(row, list(names))
        if missing := names.difference(readonly, form_class.base_fields):
            raise FieldError(f"The form of {source!r} has no {sorted(map(str, missing))}.")
        return _Form(names, readonly, form_class, form_class._meta.fields)

    def _make_form_class(self, row: Any, names: list[Any] | None) -> Any:
        if self.parent is None:
            return self.source.get_form(self.request, row, fields=names)
        return self.source.get_formset(self.request, row, fields=names).form

    def _is_in_form(self, field: Any) -> bool:
        """Tell whether the form has an input with the value of the field."""
        filled = self._form.filled
        is_filled = filled in (None, forms.ALL_FIELDS) or field.name in filled
        excluded = self._form.form_class._meta.exclude or ()
        if not (is_filled and field.editable) or field.name in excluded:
            return False
        return shows_value(self._form_fields.get(field.name), field)

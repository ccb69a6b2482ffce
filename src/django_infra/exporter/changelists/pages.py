"""Find what the pages of one ModelAdmin, or of one inline, show of each of its rows."""

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
from django.forms.models import _get_foreign_key
from django.http import HttpRequest

from django_infra.exporter.changelists.inputs import Field, shows_value
from django_infra.exporter.changelists.overrides import (
    FIELDS_METHODS,
    FORM_METHODS,
    FORMSET_METHODS,
    INLINE_METHODS,
    LIST_METHODS,
    QUERYSET_METHODS,
    ROW_METHODS,
    are_djangos,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Fields of these types tell of a password, such as when it was changed, but cannot hold one.
HARMLESS = (
    models.BooleanField,
    models.DateField,
    models.DurationField,
    models.ForeignKey,
    models.IntegerField,
)
PASSWORD_WIDGETS = (forms.PasswordInput, ReadOnlyPasswordHashWidget)


def may_hold_password(name: str, field: Field | None) -> bool:
    """Tell whether a field or an annotation with the name may hold one."""
    return "password" in name.lower() and not isinstance(field, HARMLESS)


def ask(source: object, function: Callable[[], T], default: T) -> T:
    """Return what a project's code answers, or the default if it fails.

    It may need what middleware adds to a request, and a worker's request has not.
    """
    try:
        return function()
    except Exception:
        logger.warning("What %r shows is not known.", source, exc_info=True)
        return default


def has_every_row(rows: object, *, using: str) -> bool:
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

    names: frozenset[str] = frozenset()
    # The form only shows these of the names.
    readonly: frozenset[str] = frozenset()
    # It has inputs for the others, and fills those named from a row; None fills all.
    form_class: Any = None
    filled: Any = None

    def fills(self, field: Field) -> bool:
        """Tell whether it has an input with the value of the field."""
        is_filled = self.filled in (None, forms.ALL_FIELDS) or field.name in self.filled
        excluded = self.form_class._meta.exclude or ()
        if not (is_filled and field.editable) or field.name in excluded:
            return False
        return shows_value(self.form_class.base_fields.get(field.name), field)


class Page:
    """The list and the form of a ModelAdmin, or the form of an inline, for one user."""

    def __init__(
        self, source: Any, request: HttpRequest, *, using: str, parent: Page | None = None
    ) -> None:
        # A page is that of a ModelAdmin or of an inline, which Django asks alike.
        self.source = source
        self.request = request
        # Only rows of one database can be joined.
        self.using = using
        # An inline stands on the page of another row.
        self.parent = parent

    def list_fields(self, model: type[models.Model]) -> list[Field]:
        """Return the fields of which the user sees the values, in all rows."""
        if not (self.is_listed or self.has_form):
            return []
        return [field for field in model._meta.concrete_fields if self._shows(field)]

    @cached_property
    def inlines(self) -> list[Page]:
        """The inlines that may stand on the pages of all rows."""
        source = self.source
        is_djangos = are_djangos(source, INLINE_METHODS)
        if not (self.is_declared_same or (is_djangos and source.inlines)):
            return []
        nothing: list[Any] = []
        inlines = ask(
            source, lambda: source.get_inline_instances(self.request, source.model()), nothing
        )
        pages = [
            Page(inline, self.request, using=self.using, parent=self)
            for inline in inlines
            # Generic ones have no foreign key that a query could follow.
            if not hasattr(inline, "ct_field")
        ]
        return [
            page
            for page in pages
            if page.is_declared_same or are_djangos(page.source.formset, FORMSET_METHODS)
        ]

    def find_key(self) -> models.ForeignKey[object, object] | None:
        """Return the foreign key from an inline's row to that of its page, if it can be known."""
        inline = self.source

        def find() -> models.ForeignKey[object, object] | None:
            parent = inline.parent_model
            key: Any = _get_foreign_key(parent, inline.model, fk_name=inline.fk_name)
            # It may lead to a model that the page's inherits from, which has other rows.
            is_same = key.related_model._meta.concrete_model is parent._meta.concrete_model
            return key if is_same else None

        nothing: models.ForeignKey[object, object] | None = None
        return ask(inline, find, nothing)

    @cached_property
    def is_listed(self) -> bool:
        return self.parent is None and self._may_view

    @cached_property
    def has_form(self) -> bool:
        """Whether the user can open the same form of every row."""
        return self._form.form_class is not None

    @cached_property
    def shows_every_row(self) -> bool:
        """Whether no row is kept from the user, as a join would not know which."""
        if not are_djangos(self.source, LIST_METHODS):
            return False
        rows = ask(self.source, lambda: self.source.get_queryset(self.request), None)
        return has_every_row(rows, using=self.using)

    @cached_property
    def listed(self) -> frozenset[str]:
        """Names in the list; what it shows of them, it shows in every row."""
        if not self.is_listed:
            return frozenset()
        names = ask(self.source, lambda: self.source.get_list_display(self.request), ())
        return frozenset(names)

    @property
    def is_declared_same(self) -> bool:
        """Whether the project says that nothing is hidden of some rows alone."""
        return getattr(self.source, "export_same_for_all_rows", False) is True

    @cached_property
    def _may_view(self) -> bool:
        may_view = self.source.has_view_or_change_permission
        return bool(ask(self.source, lambda: may_view(self.request), False))

    @cached_property
    def hidden(self) -> set[str]:
        """Names that the form or an export is not to have."""
        exclude = ask(self.source, lambda: self.source.get_exclude(self.request, None), ()) or ()
        return {*exclude, *getattr(self.source, "export_exclude", ())}

    def _shows(self, field: Field) -> bool:
        """Tell whether the user sees the value of the field in all rows."""
        source, form = self.source, self._form
        if may_hold_password(field.name, field) or field.name in self.hidden:
            return False
        formfield = form.form_class and form.form_class.base_fields.get(field.name)
        if isinstance(getattr(formfield, "widget", None), PASSWORD_WIDGETS):
            return False
        if field.primary_key or not self.listed.isdisjoint((field.name, field.attname)):
            return True
        if not form.names.isdisjoint((field.name, field.attname)):
            name = field.name if field.name in form.names else field.attname
            return name in form.readonly or (name == field.name and form.fills(field))
        # No form has such a field, and when a row was made or changed is no secret of it.
        is_time = isinstance(field, models.DateField | models.TimeField) and not field.editable
        # Where a project has chosen the fields of the form, it has left this one out.
        is_chosen = source.fields or source.fieldsets
        is_djangos = are_djangos(source, ("get_fields", "get_fieldsets"))
        return is_time and self.has_form and is_djangos and not is_chosen

    @cached_property
    def _form(self) -> _Form:
        """The form of all rows; an empty one if the user sees none, or not the same of each."""
        source = self.source
        is_same = self.is_declared_same or (
            are_djangos(source, ROW_METHODS)
            # Without it, a page needs the permission to change, which may differ row by row.
            and source.has_view_permission(self.request)
            and are_djangos(source.form, FORM_METHODS)
        )
        if not (is_same and self._may_view):
            return _Form()
        if self.parent is not None and not self.parent.has_form:
            return _Form()
        return ask(source, self._make_form, _Form())

    def _make_form(self) -> _Form:
        """Return the form of a new row, by which those of all rows are known."""
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

    def _make_form_class(self, row: models.Model, names: list[str] | None) -> Any:
        if self.parent is None:
            return self.source.get_form(self.request, row, fields=names)
        return self.source.get_formset(self.request, row, fields=names).form

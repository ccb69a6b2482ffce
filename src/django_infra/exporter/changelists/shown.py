"""The fields of a model that its admin lets a user see."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django import forms
from django.contrib.admin import ModelAdmin
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth.forms import ReadOnlyPasswordHashWidget
from django.db import models
from django.http import HttpRequest

logger = logging.getLogger(__name__)

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


@dataclass(frozen=True)
class Shown:
    """What the admin of one model shows to the user."""

    model: type[models.Model]
    model_admin: ModelAdmin[Any] | None
    request: HttpRequest

    def list_fields(self) -> list[Any]:
        fields = [field for field in self.model._meta.concrete_fields if self._may_leave(field)]
        if self.model_admin is None:
            return fields
        return [field for field in fields if self._is_shown(field)]

    def _may_leave(self, field: Any) -> bool:
        if may_hold_password(field.name, field):
            return False
        if self._form_fields is None:
            # Any text may be what the form asks for as a password.
            return field.primary_key or isinstance(field, HARMLESS) or field.name in self._listed
        widget = getattr(self._form_fields.get(field.name), "widget", None)
        return not isinstance(widget, PASSWORD_WIDGETS)

    def _is_shown(self, field: Any) -> bool:
        if field.name in self._hidden:
            return False
        if field.primary_key or field.name in self._shown or field.attname in self._shown:
            return True
        # No form has such a field, unless somebody puts it there.
        return not field.editable and self._shows_all

    @cached_property
    def _hidden(self) -> set[str]:
        exclude = self._admin.get_exclude(self.request, None) or ()
        return {*exclude, *getattr(self._admin, "export_exclude", ())}

    @cached_property
    def _shown(self) -> set[Any]:
        return {*self._listed, *self._form_names}

    @cached_property
    def _listed(self) -> set[Any]:
        return set(self._admin.get_list_display(self.request))

    @cached_property
    def _shows_all(self) -> bool:
        """Whether nobody has chosen the fields of the form."""
        kind = type(self._admin)
        if kind.get_fields is not ModelAdmin.get_fields:
            return False
        chosen = self._admin.fields or self._admin.fieldsets
        return kind.get_fieldsets is ModelAdmin.get_fieldsets and not chosen

    @cached_property
    def _form_names(self) -> set[Any]:
        """Return the names in the form of a row; that of a new one may have others."""
        try:
            return set(flatten_fieldsets(self._admin.get_fieldsets(self.request, self.model())))
        except Exception:
            logger.warning("The fields of %r are not known.", self._admin, exc_info=True)
            return set()

    @cached_property
    def _form_fields(self) -> dict[str, forms.Field] | None:
        """Return the fields of the form, or None if they are not known."""
        if self.model_admin is None:
            return {}
        try:
            form = self.model_admin.get_form(self.request, self.model())
            return dict(form.base_fields)
        except Exception:
            logger.warning("The form of %r is not known.", self.model_admin, exc_info=True)
            return None

    @property
    def _admin(self) -> Any:
        return self.model_admin

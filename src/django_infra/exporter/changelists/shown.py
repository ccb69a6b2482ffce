"""The models, and the fields of each, that the admin lets a user see."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from django import forms
from django.contrib.admin import ModelAdmin
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth import get_permission_codename
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


def list_fields(
    model_admin: ModelAdmin[Any], request: HttpRequest, model: type[models.Model]
) -> list[Any]:
    found = model_admin if model is model_admin.model else _find_admin(model_admin, model)
    return Shown(model, found, request).list_fields()


def _find_admin(model_admin: ModelAdmin[Any], model: type[models.Model]) -> ModelAdmin[Any] | None:
    """Return the admin of the model on the same site, or of what it is a proxy for."""
    registered: Any = model_admin.admin_site._registry
    found = registered.get(model) or registered.get(model._meta.concrete_model)
    return cast("ModelAdmin[Any] | None", found)


def may_view(model_admin: ModelAdmin[Any], request: HttpRequest, model: type[models.Model]) -> bool:
    if (own := _find_admin(model_admin, model)) is not None:
        return own.has_view_or_change_permission(request) and _shows_all_rows(own, request)
    opts = model._meta
    return any(
        request.user.has_perm(f"{opts.app_label}.{get_permission_codename(action, opts)}")
        for action in ("view", "change")
    )


def _shows_all_rows(model_admin: ModelAdmin[Any], request: HttpRequest) -> bool:
    """Tell whether no row is kept from the user, as a join would not know which."""
    try:
        rows = model_admin.get_queryset(request)
    except Exception:
        # Of what middleware adds to a request that a worker's has not.
        logger.warning("The rows of %r are not known.", model_admin, exc_info=True)
        return False
    return bool(rows.query.where == model_admin.model._default_manager.all().query.where)

"""Find what is wrong with a named export before anybody asks for it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence

from django.apps import apps
from django.forms import BaseForm, FileField

from django_infra.exporter.columns import read_columns
from django_infra.exporter.delivery.paths import MAX_NAME_LENGTH
from django_infra.exporter.exceptions import InvalidExport, InvalidSetting
from django_infra.exporter.limits import find_limit_fault
from django_infra.exporter.registry.named_export import FunctionExport, NamedExport
from django_infra.exporter.writers import get_formats, get_writer, suggest_extra

NAME = re.compile(rf"[A-Za-z0-9_.-]{{1,{MAX_NAME_LENGTH}}}")


def find_faults(export: NamedExport) -> Iterator[str]:
    """Yield what keeps the declaration from working."""
    if not isinstance(export.name, str) or not NAME.fullmatch(export.name):
        yield (
            f"its name must be 1 to {MAX_NAME_LENGTH} ASCII letters, digits, dots, hyphens and "
            "underscores"
        )
    function = export.function if isinstance(export, FunctionExport) else export.get_queryset
    try:
        inspect.signature(function).bind({}, None)
    except TypeError:
        yield "its function, or get_queryset(), must take the parameters and the user"
    # What a subclass computes is known when somebody asks for it, and no sooner.
    if type(export).get_values is NamedExport.get_values:
        try:
            read_columns(getattr(export, "values", None))
        except InvalidExport as error:
            yield f"its {str(error).rstrip('.')}"
    yield from _find_fault_of_permission(export)
    yield from _find_faults_of_form(export)
    yield from _find_faults_of_formats(export)
    for name in ("max_rows", "max_file_size", "expires_in"):
        if fault := find_limit_fault(name, getattr(export, name)):
            yield f"its {fault}"


def _find_fault_of_permission(export: NamedExport) -> Iterator[str]:
    # It has no default, so that nobody forgets to choose one.
    permission: object = getattr(export, "permission", "missing")
    if permission is None or type(export).is_permitted is not NamedExport.is_permitted:
        return
    label, _, codename = permission.partition(".") if isinstance(permission, str) else ("", "", "")
    if not codename or label not in {config.label for config in apps.get_app_configs()}:
        yield (
            f"its permission is {permission!r}, but must be 'app_label.codename' of an installed "
            "app, or None for every active user"
        )


def _find_faults_of_form(export: NamedExport) -> Iterator[str]:
    form_class: object = export.form_class
    if not (isinstance(form_class, type) and issubclass(form_class, BaseForm)):
        yield f"its form_class is {form_class!r}, but must be a subclass of django.forms.Form"
        return
    # Fields that a form adds when it is made are looked at when somebody asks.
    for name, field in getattr(form_class, "base_fields", {}).items():
        if isinstance(field, FileField):
            yield f"its form has the file field {name!r}, and a job carries no files"


def _find_faults_of_formats(export: NamedExport) -> Iterator[str]:
    try:
        known, formats = get_formats(), export.get_formats()
    except InvalidSetting:
        # The checks of the settings have a name for it.
        return
    if isinstance(formats, str) or not isinstance(formats, Sequence) or not formats:
        yield f"its formats are {formats!r}, but must be a list of names"
        return
    for name in formats:
        if name not in known:
            names = ", ".join(map(repr, known))
            yield f"its format {name!r} is not one of {names}{suggest_extra(name)}"
            continue
        try:
            get_writer(name, dict(export.options))
        except InvalidExport as error:
            yield f"its {str(error).rstrip('.')}"
        except InvalidSetting:
            # This too is for the checks of the settings.
            continue

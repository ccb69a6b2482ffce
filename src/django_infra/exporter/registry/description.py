"""Describe what a user may ask for, as data that a front end makes a form of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, cast

from django import forms
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _

from django_infra.exporter.columns import read_columns
from django_infra.exporter.registry.named_export import NamedExport, User

# With more of them a page needs a search, and no list.
MAX_CHOICES = 200

# The first that fits; what is none of these is text.
TYPES: dict[type[forms.Field], str] = {
    forms.ChoiceField: "choice",
    forms.BooleanField: "boolean",
    forms.DecimalField: "decimal",
    forms.FloatField: "number",
    forms.IntegerField: "integer",
    forms.DateTimeField: "datetime",
    forms.DateField: "date",
    forms.TimeField: "time",
    forms.DurationField: "duration",
    forms.UUIDField: "uuid",
    forms.EmailField: "email",
    forms.URLField: "url",
    forms.JSONField: "json",
}
MULTIPLE = (forms.MultipleChoiceField, forms.ModelMultipleChoiceField)


def describe(named: NamedExport, user: User) -> dict[str, Any]:
    """Return what the user needs to know of the export; choices may take a query each."""
    form = named.get_form(None, user)
    # Where a subclass decides on the columns, they depend on the parameters.
    is_fixed = type(named).get_values is NamedExport.get_values
    return {
        "name": named.name,
        "verbose_name": str(named.verbose_name or named.name),
        "description": str(named.description),
        "parameters": [
            parameter
            for name, field in form.fields.items()
            if not field.disabled
            for parameter in _describe_field(form, name, field)
        ],
        "columns": [each.describe() for each in read_columns(named.values)] if is_fixed else None,
        "formats": list(named.get_formats()),
    }


def _describe_field(
    form: forms.BaseForm, name: str, field: forms.Field
) -> Iterator[dict[str, Any]]:
    """Yield what the field is called and takes, or what each of its parts is and does."""
    initial = form.get_initial_for_field(field, name)
    suffixes, fields = [""], [field]
    values: Any = [initial]
    widget: Any = field.widget
    has_parts = isinstance(widget, forms.MultiWidget)
    if has_parts and isinstance(field, forms.MultiValueField):
        suffixes, fields = widget.widgets_names, list(field.fields)
        values = initial if isinstance(initial, list) else widget.decompress(initial)
    # A widget may decompress to fewer values than it has parts.
    for suffix, part, value in zip(suffixes, fields, values, strict=False):
        kinds = (name for kind, name in TYPES.items() if isinstance(part, kind))
        yield {
            "name": form.add_prefix(name) + suffix,
            "label": str(form[name].label),
            "help_text": str(field.help_text),
            "type": next(kinds, "string"),
            "required": field.required and part.required,
            "multiple": isinstance(part, MULTIPLE),
            "initial": None if value is None else _make_plain(part.prepare_value(value)),
            "choices": _list_choices(part),
        }


def _list_choices(field: forms.Field) -> list[dict[str, Any]] | None:
    """Return the choices, or None where there are none, or more than a page should hold."""
    # Django keeps the choices of this one in its widget.
    if isinstance(field, forms.NullBooleanField):
        choices: Iterable[tuple[object, object]] = [(True, _("Yes")), (False, _("No"))]
    elif isinstance(field, forms.ModelChoiceField):
        queryset = cast(QuerySet[Model], field.queryset)
        choices = (
            (field.prepare_value(each), field.label_from_instance(each))
            for each in queryset.all()[: MAX_CHOICES + 1]
        )
    elif isinstance(field, forms.ChoiceField):
        choices = _flatten(cast(Iterable[Any], field.choices))
    else:
        return None
    # One more than is shown tells that there are too many, without a COUNT.
    found = list(islice(choices, MAX_CHOICES + 1))
    if len(found) > MAX_CHOICES:
        return None
    return [{"value": _make_plain(value), "label": str(label)} for value, label in found]


def _flatten(choices: Iterable[Any]) -> Iterator[tuple[object, object]]:
    """Yield the choices, those in groups too, but not the empty one."""
    for value, label in choices:
        # A group is a pair as well: its label, and a list of choices.
        if isinstance(label, list | tuple):
            yield from _flatten(label)
        elif value not in (None, ""):
            yield value, label


def _make_plain(value: object) -> object:
    """Return the value as JSON has it."""
    try:
        return json.loads(json.dumps(value, cls=DjangoJSONEncoder, allow_nan=False))
    except (TypeError, ValueError):
        return str(value)

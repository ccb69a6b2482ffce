"""Tell which inputs show the value of a field."""

from __future__ import annotations

from typing import TypeAlias

from django import forms
from django.db import models

from django_infra.exporter.changelists.overrides import are_djangos

# Fields of models are typed by their values, which are all the same here.
Field: TypeAlias = "models.Field[object, object]"

# The first show any value, the second one of those that the field can have.
OPEN_WIDGETS = (
    forms.ClearableFileInput,
    forms.ColorInput,
    forms.EmailInput,
    forms.MultiWidget,
    forms.NumberInput,
    forms.SearchInput,
    forms.TelInput,
    forms.TextInput,
    forms.Textarea,
    forms.URLInput,
)
CHOICE_WIDGETS = (forms.CheckboxInput, forms.RadioSelect, forms.Select)
FIELD_METHODS = ("bound_data", "get_bound_field", "prepare_value")
WIDGET_METHODS = ("format_value", "get_context", "render", "template_name")


def shows_value(formfield: forms.Field | None, field: Field) -> bool:
    """Tell whether the input of a form writes the value of the model's field as it is."""
    if formfield is None or formfield.widget.is_hidden:
        return False
    # The admin wraps the widget of a relation.
    widget = getattr(formfield.widget, "widget", formfield.widget)
    is_chosen = field.is_relation or field.choices or isinstance(field, models.BooleanField)
    if not isinstance(widget, OPEN_WIDGETS + CHOICE_WIDGETS if is_chosen else OPEN_WIDGETS):
        return False
    widgets = (formfield.widget, widget)
    is_djangos = all(are_djangos(each, WIDGET_METHODS) for each in widgets)
    return is_djangos and are_djangos(formfield, FIELD_METHODS)

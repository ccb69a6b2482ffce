"""Make the forms of an export look like the admin's, and tell in them what went wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.contrib.admin.helpers import AdminForm
from django.contrib.admin.widgets import AdminDateWidget, AdminRadioSelect, AdminTimeWidget
from django.core.exceptions import NON_FIELD_ERRORS
from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from django_infra.exporter.changelists.export import HEADERS
from django_infra.exporter.changelists.groups import ColumnGroup
from django_infra.exporter.exceptions import (
    HandoverFailed,
    InvalidParams,
    StartsThrottled,
    TooManyExports,
)
from django_infra.exporter.writers import get_writer

# The CSS of the admin knows widgets by these, which the fields of a model have there.
CLASSES: dict[type[forms.Widget], str] = {
    forms.TextInput: "vTextField",
    forms.EmailInput: "vTextField",
    forms.NumberInput: "vIntegerField",
    forms.URLInput: "vURLField",
    forms.Textarea: "vLargeTextField",
}
PICKERS: dict[type[forms.Widget], Any] = {
    forms.DateInput: AdminDateWidget,
    forms.TimeInput: AdminTimeWidget,
}
# What a script sends in place of a field for each column.
PATHS = "paths"


class FormatForm(forms.Form):
    """Which of the offered kinds of file it is to be."""

    format = forms.ChoiceField(label=_("Format"))

    def __init__(self, data: QueryDict | None, *, formats: Iterable[str], **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.fields["format"].choices = [(name, name.upper()) for name in formats]  # type: ignore[attr-defined]


class ChangeListExportForm(FormatForm):
    """The columns in their order, and how they are written."""

    columns = forms.MultipleChoiceField(
        label=_("Columns"),
        error_messages={
            "required": _("Choose at least one column."),
            "invalid_choice": _("The column “%(value)s” is not offered."),
        },
    )
    headers = forms.ChoiceField(
        label=_("Column headers"),
        choices=list(HEADERS.items()),
        widget=AdminRadioSelect(attrs={"class": "radiolist"}),
    )
    # Without JavaScript, columns come in the order in which they are offered.
    order = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(
        self, data: QueryDict | None, *, groups: Iterable[ColumnGroup], **kwargs: Any
    ) -> None:
        # A script sends the columns in one field, as a form may have no more fields than
        # DATA_UPLOAD_MAX_NUMBER_FIELDS.
        if data is not None and PATHS in data:
            data = data.copy()
            data.setlist("columns", str(data[PATHS]).split())
        super().__init__(data, **kwargs)
        self.fields["columns"].choices = [  # type: ignore[attr-defined]
            (column.path, column.header) for group in groups for column in group.columns
        ]

    def get_chosen(self) -> list[str]:
        """Return the paths that are chosen, in order, whether or not they are valid."""
        order = str(self["order"].value() or "").split()
        places = {path: place for place, path in enumerate(order)}
        chosen = dict.fromkeys(self["columns"].value() or ())
        return sorted(chosen, key=lambda path: places.get(path, len(places)))


def make_options_forms(
    formats: Iterable[str], data: QueryDict | None, initial: Mapping[str, dict[str, Any]]
) -> dict[str, forms.Form]:
    """Return the forms of the options by format; ``initial`` goes over the settings."""
    made = {}
    for name in formats:
        writer = get_writer(name)
        if (form_class := writer.options_form) is not None:
            known = {each: getattr(writer, each, None) for each in form_class.base_fields}
            made[name] = form_class(data, prefix=name, initial=known | initial.get(name, {}))
    return made


def make_admin_form(
    form: Any, names: Iterable[str], heading: str | Promise | None = None
) -> AdminForm:
    """Return what the admin's templates show as a set of fields."""
    return AdminForm(form, [(heading, {"fields": list(names)})], {})


def dress(form: forms.BaseForm) -> None:
    """Give the form's plain widgets the looks that the admin's have."""
    for field in form.fields.values():
        widget = field.widget
        if (picker := PICKERS.get(type(widget))) is not None:
            # A new widget does not know what the field has told the old one.
            field.widget = picker(widget.attrs, widget.format)
            field.widget.is_required = widget.is_required
            field.widget.is_localized = widget.is_localized
        elif (name := CLASSES.get(type(widget))) is not None:
            widget.attrs.setdefault("class", name)


def is_valid(form: forms.BaseForm) -> bool:
    """Tell whether the form takes its data, be they what Python cannot read."""
    try:
        return form.is_valid()
    except (OverflowError, ValueError) as error:
        # The errors so far are kept, so that nothing validates again.
        form.add_error(None, str(error))
        return False


def add_errors(form: forms.BaseForm, error: Exception) -> None:
    """Tell in the form why there is no export, by field where the error names one."""
    if isinstance(error, StartsThrottled):
        seconds = math.ceil(error.wait or 0)
        text = _("You start exports too often. Try again in %(seconds)s seconds.")
        form.add_error(None, text % {"seconds": seconds})
    elif isinstance(error, TooManyExports):
        form.add_error(None, _("You have as many unfinished exports as you may have."))
    elif isinstance(error, HandoverFailed):
        form.add_error(None, _("No worker can be reached."))
    elif isinstance(error, InvalidParams) and error.errors:
        for name, entries in error.errors.items():
            texts = [str(entry["message"]) for entry in entries]
            if name in form.fields:
                form.add_error(name, texts)
            else:
                # The form has no field beside which they could stand, so that they say its name.
                is_general = name == NON_FIELD_ERRORS
                form.add_error(None, [each if is_general else f"{name}: {each}" for each in texts])
    else:
        form.add_error(None, str(error))

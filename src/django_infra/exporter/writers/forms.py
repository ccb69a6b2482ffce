"""What a person may choose about a file of a format."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _


class FormulasForm(forms.Form):
    """For a format whose texts a spreadsheet may run."""

    escape_formulas = forms.BooleanField(
        label=_("Escape formulas"),
        required=False,
        help_text=_(
            "Texts that a spreadsheet would run as a formula get an apostrophe in front. "
            "Switch it off only for files that programs read."
        ),
    )

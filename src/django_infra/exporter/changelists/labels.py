"""The labels of choices, made by the database."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, CharField, F, Value, When
from django.db.models.functions import Cast


def make_label(path: str, field: Any) -> Case:
    """Return as SQL what Django's ``get_FOO_display()`` returns."""
    cases = [
        When(
            **({f"{path}__isnull": True} if value is None else {path: value}),
            then=Value(str(label)),
        )
        for value, label in field.flatchoices
    ]
    # What is no choice any more stays as it is.
    text = CharField()
    return Case(*cases, default=Cast(F(path), text), output_field=text)

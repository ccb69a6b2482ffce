"""Validate the parameters of filters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.forms.utils import from_current_timezone
from django.utils import timezone
from django.utils.choices import flatten_choices
from django_filters.fields import BaseCSVField, ChoiceField, MultipleChoiceField, RangeField
from django_filters.widgets import CSVWidget, DateRangeWidget

# A message names no more choices than somebody reads.
MAX_SHOWN = 50
INTEGER = re.compile(r"[+-]?[0-9]{1,30}")
DECIMAL = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{0,30})?")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# The plus of an offset arrives as a space from those who do not encode it.
DATETIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)"
    r"(Z|[ +-][0-9]{2}:?[0-9]{2})?",
    re.IGNORECASE,
)
# No database's time zone is further from UTC.
DAY = timedelta(days=1)


def show(value: object) -> str:
    """Return a value as an error message quotes it."""
    text = repr(value)
    # A message is no place for all that a stranger may send.
    return text if len(text) <= 100 else f"{text[:100]}…"


def show_choices(names: Iterable[object]) -> str:
    """Return the names as an error message lists them."""
    shown = [str(name) for name in names]
    return ", ".join(shown[:MAX_SHOWN]) + (", …" if len(shown) > MAX_SHOWN else "")


def get_keys(field: Any) -> list[object]:
    """Return the values of the choices, those in groups too, but not the empty one."""
    # A list of choices from a callable has no length.
    return [key for key, _ in flatten_choices(iter(field.choices)) if key != ""]


def refuse_unknown(values: Iterable[str], choices: Iterable[object]) -> None:
    """Raise ValidationError for the first value that is no choice."""
    allowed = [str(choice) for choice in choices]
    if unknown := [value for value in values if value not in allowed]:
        raise ValidationError(
            f"{show(unknown[0])} is not a choice. Choose from: {show_choices(allowed)}."
        )


class AnyOfField(MultipleChoiceField):
    """Any number of choices, each taken once, empty ones left out."""

    def to_python(self, value: Any) -> list[str]:
        return [text for text in dict.fromkeys(super().to_python(value)) if text]

    def validate(self, value: list[str]) -> None:
        if self.required and not value:
            raise ValidationError(self.error_messages["required"], code="required")
        if value:
            refuse_unknown(value, get_keys(self))


class SearchField(forms.CharField):
    """A text of so many words at most, since each word is a condition of the query."""

    def __init__(self, *, max_words: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_words = max_words

    def validate(self, value: str) -> None:
        super().validate(value)
        if len(value.split()) > self.max_words:
            raise ValidationError(f"Search for at most {self.max_words} words.")


class OrderingWidget(CSVWidget):
    """Read ``?ordering=a&ordering=b`` as ``?ordering=a,b``."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[str]:
        # A plain dict, as tests and code pass it, has one value of each name.
        values = data.getlist(name) if hasattr(data, "getlist") else [data.get(name, "")]
        names = (part.strip() for value in values for part in value.split(","))
        return [part for part in dict.fromkeys(names) if part]


class OrderingField(BaseCSVField, ChoiceField):
    """Names to order by, each taken once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "widget": OrderingWidget})

    def clean(self, value: list[str]) -> list[str]:
        if self.required and not value:
            raise ValidationError(self.error_messages["required"], code="required")
        if value:
            refuse_unknown(value, get_keys(self))
        return value


class BoundField(forms.Field):
    """One value, as text that only subclasses can read."""

    kind: str

    def to_python(self, value: str | None) -> object:
        text = (value or "").strip()
        if not text:
            return None
        try:
            return self.read(text)
        except (ValueError, OverflowError) as error:
            raise ValidationError(f"{show(value)} is not {self.kind}.") from error

    def read(self, text: str) -> object:
        """Return the value; raise ValueError or OverflowError if there is none."""
        raise NotImplementedError


class IntegerField(BoundField):
    """A whole number that a database's widest integers hold, in ASCII digits."""

    kind = "a whole number of 64 bits"
    default_validators = [MinValueValidator(-(2**63)), MaxValueValidator(2**63 - 1)]

    def read(self, text: str) -> int:
        return int(match(INTEGER, text)[0])


class DecimalField(BoundField):
    """A number in decimal digits."""

    kind = "a number such as '9.95'"

    def read(self, text: str) -> Decimal:
        return Decimal(match(DECIMAL, text)[0])


class DateField(BoundField):
    """A day in ISO 8601."""

    kind = "a day such as '2026-03-01'"

    def read(self, text: str) -> date:
        return date.fromisoformat(match(DATE, text)[0])


class DateTimeField(BoundField):
    """A time in ISO 8601; one without an offset is in the current time zone."""

    kind = "a time such as '2026-03-01T12:00:00Z'"

    def read(self, text: str) -> datetime:
        day, time, offset = match(DATETIME, text).groups(default="")
        moment = datetime.fromisoformat(f"{day}T{time}{offset.replace(' ', '+')}".upper())
        # Databases convert it to their own time zone: this raises OverflowError near the years 1
        # and 9999, where they would fail.
        moment - DAY, moment + DAY, moment.astimezone(UTC)
        if timezone.is_naive(moment):
            return from_current_timezone(moment)
        # PostgreSQL takes no offset of sixteen hours.
        return moment.astimezone(UTC) if settings.USE_TZ else timezone.make_naive(moment)


def match(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    """Match the whole text; raise ValueError if it does not."""
    found = pattern.fullmatch(text)
    if found is None:
        raise ValueError
    return found


class BoundError(ValidationError):
    """What is wrong with one of two bounds, which the suffix tells."""

    def __init__(self, message: str, *, suffix: str) -> None:
        super().__init__(message)
        self.suffix = suffix


class BoundsField(RangeField):
    """Two bounds, either of which may be missing; an error knows which of them it is about."""

    bound_class: type[forms.Field]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        fields = (self.bound_class(), self.bound_class())
        super().__init__(fields, *args, **kwargs)

    def clean(self, value: Any) -> slice:
        # Both are looked at, so that whoever got both wrong is told of both at once.
        bounds, faults = [], []
        for suffix, field, text in zip(self.widget.suffixes, self.fields, value, strict=True):
            try:
                bounds.append(field.clean(text))
            except ValidationError as error:
                faults += [BoundError(message, suffix=suffix) for message in error.messages]
        if faults:
            raise ValidationError(faults)
        if self.required and bounds == [None, None]:
            raise ValidationError(self.error_messages["required"], code="required")
        return slice(*bounds)


class IntegerRangeField(BoundsField):
    bound_class = IntegerField


class DecimalRangeField(BoundsField):
    bound_class = DecimalField


class DateRangeField(BoundsField):
    bound_class = DateField
    widget = DateRangeWidget


class DateTimeRangeField(BoundsField):
    bound_class = DateTimeField
    widget = DateRangeWidget

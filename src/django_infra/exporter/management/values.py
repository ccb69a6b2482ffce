"""Read the words of a command line as values of a model's fields."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from django.conf import settings
from django.core.validators import DecimalValidator
from django.db import models
from django.utils import timezone

AnyField: TypeAlias = "models.Field[Any, Any]"
Reader: TypeAlias = Callable[[Any, str], object]

TRUE = ("true", "yes", "on", "1", "t", "y")
FALSE = ("false", "no", "off", "0", "f", "n")
RANGE = re.compile(r"([\[(]?)([^,\[(]*),([^,)\]]*)([)\]]?)")
# No database's time zone is further from UTC.
DAY = timedelta(days=1)


def read_value(field: Any, text: str) -> object:
    """Return what the text is for the field; raise ValueError or ValidationError otherwise."""
    # A relation is compared by the key of the other row, which may be a relation itself.
    while field.remote_field:
        field = field.target_field
    if is_range(field):
        reader: Reader = read_range
    elif is_array(field):
        reader = read_array
    elif field.get_internal_type() == "HStoreField":
        reader = read_texts_by_name
    else:
        found = (reader for kind, reader in READERS.items() if isinstance(field, kind))
        reader = next(found, read_plain)
    value = reader(field, text)
    if value is None and not isinstance(field, models.JSONField):
        raise ValueError("it is not a value; __isnull=true finds what has none")
    return value


def read_values(field: Any, text: str) -> list[object]:
    """Return the values that the text has between commas."""
    # In JSON a comma may stand within a value, where the commas of CSV would cut it.
    if isinstance(field, models.JSONField):
        return list(_load(f"[{text}]"))
    if is_array(field):
        return [_read_items(field, each) for each in _load_list(text)]
    words = split(text)
    if isinstance(field, models.CompositePrimaryKey):
        size = len(field)
        if len(words) % size:
            raise ValueError(f"{len(words)} values do not make keys of {size}")
        parts = [words[start : start + size] for start in range(0, len(words), size)]
        return [_read_parts(field, each) for each in parts]
    return [read_value(field, word) for word in words]


def read_bounds(field: Any, text: str) -> list[object]:
    """Return the two values of a text, between which others are."""
    bounds = read_values(field, text)
    if len(bounds) != 2:
        raise ValueError("a range has two values, as in 1,9")
    return bounds


def read_boolean(text: str) -> bool:
    """Return what one of the usual words stands for."""
    if (word := text.strip().lower()) not in TRUE + FALSE:
        raise ValueError(f"it must be one of {', '.join(map(repr, TRUE + FALSE))}")
    return word in TRUE


def split(text: str) -> list[str]:
    """Return the words between commas, of which a quoted one may hold commas itself."""
    try:
        (words,) = csv.reader([text], strict=True)
    except (ValueError, csv.Error) as error:
        raise ValueError(f"it is not a list with commas: {error}") from error
    return words


def is_array(field: object) -> bool:
    """Tell whether it is an ArrayField."""
    return hasattr(field, "base_field") and not is_range(field)


def is_range(field: object) -> bool:
    """Tell whether it is a field of ranges."""
    # Without its driver, django.contrib.postgres cannot be imported.
    return hasattr(field, "range_type")


def read_plain(field: AnyField, text: str) -> object:
    """Read what the field itself reads."""
    # Django takes an empty duration for none at all.
    if not (text or field.empty_strings_allowed):
        raise ValueError("it is empty")
    return field.to_python(text)


def read_integer(field: AnyField, text: str) -> object:
    """Read a whole number."""
    # Python takes 1_0 for 10.
    if "_" in text:
        raise ValueError("it is not a whole number")
    return field.to_python(text)


def read_float(field: AnyField, text: str) -> float:
    """Read a number; NaN is none, and each database compares it in its own way."""
    value: float = field.to_python(text)
    if math.isnan(value) or "_" in text:
        raise ValueError("it is not a number")
    return value


def read_decimal(field: Any, text: str) -> object:
    """Read a number that the column can hold."""
    if "_" in text:
        raise ValueError("it is not a number")
    value = field.to_python(text)
    # Databases round what the column cannot hold, and find other rows.
    DecimalValidator(field.max_digits, field.decimal_places)(value)
    return value


def read_time_of_day(field: AnyField, text: str) -> datetime:
    """Take a time without an offset for one in TIME_ZONE, as who types it does."""
    value: datetime = field.to_python(text)
    if settings.USE_TZ and timezone.is_naive(value):
        value = timezone.make_aware(value)
    elif not settings.USE_TZ and timezone.is_aware(value):
        value = timezone.make_naive(value)
    # Databases convert it to their own time zone: this raises OverflowError near the years 1 and
    # 9999, where they would fail.
    _ = value - DAY, value + DAY
    return value.astimezone(UTC) if settings.USE_TZ else value


def read_address(field: AnyField, text: str) -> object:
    """Read an IP address of the versions that the field has."""
    value = field.to_python(text)
    if not value:
        raise ValueError("it is not an IP address")
    # to_python() takes an address of either version.
    field.run_validators(value)
    return value


def read_binary(field: AnyField, text: str) -> bytes:
    """Read bytes in hexadecimal."""
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise ValueError("bytes are written in hexadecimal, as in 'ff00'") from error


def read_texts_by_name(field: AnyField, text: str) -> dict[str, str | None]:
    """Read the value of an HStoreField."""
    value = _load(text)
    texts = isinstance(value, dict) and all(
        each is None or isinstance(each, str) for each in value.values()
    )
    if not texts:
        raise ValueError('texts by name are written as in {"name": "text"}')
    found: dict[str, str | None] = value
    return found


def read_array(field: Any, text: str) -> list[object]:
    """Read items between commas, or in JSON, where arrays may be nested."""
    return _read_items(field, _load_list(text) if text.startswith("[") else split(text))


def _read_items(field: Any, items: object) -> list[object]:
    """Return the items as values of the field in an array, which may be an array itself."""
    if not isinstance(items, list):
        raise ValueError('an array is a list, as in a,b or ["a", "b"]')
    base = field.base_field
    return [
        None
        if item is None
        else _read_items(base, item)
        if is_array(base)
        else read_value(base, item if isinstance(item, str) else json.dumps(item))
        for item in items
    ]


def read_range(field: Any, text: str) -> object:
    """Read a range as PostgreSQL writes it."""
    if text.strip() == "empty":
        return field.range_type(empty=True)
    if (found := RANGE.fullmatch(text.strip())) is None:
        raise ValueError("a range is written as in [1,9)")
    opening, *ends, closing = found.groups()
    # Without brackets it is [lower,upper), which is PostgreSQL's default.
    if bool(opening) != bool(closing):
        raise ValueError("a range has both of its brackets, as in [1,9), or none")
    bounds: list[Any] = [read_value(field.base_field, end) if end.strip() else None for end in ends]
    lower, upper = bounds
    if lower is not None and upper is not None and lower > upper:
        raise ValueError("its lower bound is above its upper one")
    return field.range_type(lower, upper, (opening or "[") + (closing or ")"))


def _read_parts(field: Any, words: list[str]) -> tuple[object, ...]:
    """Return a composite key, each part read by its own field."""
    if len(words) != len(field):
        raise ValueError(f"the key has {len(field)} values")
    return tuple(map(read_value, field.fields, words))


def _load(text: str) -> Any:
    """Return the value of a JSON text."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (RecursionError, ValueError) as error:
        raise ValueError(f"it is not JSON, where a text has double quotes: {error}") from error


def _refuse_constant(name: str) -> None:
    """Refuse NaN and Infinity, which Python reads though JSON has neither."""
    raise ValueError(f"{name} is not in JSON")


def _load_list(text: str) -> list[object]:
    """Return a JSON list with its numbers as texts, so that each field reads its own."""
    try:
        value = json.loads(text, parse_float=str, parse_int=str, parse_constant=_refuse_constant)
    except (RecursionError, ValueError) as error:
        raise ValueError(f"it is not a list in JSON: {error}") from error
    if not isinstance(value, list):
        raise ValueError("it is not a list in JSON")
    return value


# The first that fits is taken. A date and time is a date as well, which Django reads itself.
READERS: dict[type[AnyField], Reader] = {
    models.CompositePrimaryKey: lambda field, text: _read_parts(field, split(text)),
    models.BooleanField: lambda field, text: read_boolean(text),
    models.IntegerField: read_integer,
    models.FloatField: read_float,
    models.DecimalField: read_decimal,
    models.DateTimeField: read_time_of_day,
    models.GenericIPAddressField: read_address,
    models.BinaryField: read_binary,
    models.JSONField: lambda field, text: _load(text),
}

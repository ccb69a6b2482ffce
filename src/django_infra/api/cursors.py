"""Write the place between two rows as text, signed so that only this project can make one."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.core.signing import BadSignature, Signer

# Servers and proxies take a few thousand characters of a URL.
MAX_CURSOR_LENGTH = 2000
MICROSECOND = timedelta(microseconds=1)
SALT = "django_infra.api.cursors"

# The first that fits is taken. A datetime is a date too, and comes first.
TYPES: dict[str, tuple[type, Callable[[Any], str], Callable[[str], Any]]] = {
    "datetime": (datetime, datetime.isoformat, datetime.fromisoformat),
    "date": (date, date.isoformat, date.fromisoformat),
    "time": (time, time.isoformat, time.fromisoformat),
    "duration": (
        timedelta,
        lambda value: str(value // MICROSECOND),
        lambda text: int(text) * MICROSECOND,
    ),
    "decimal": (Decimal, str, Decimal),
    "uuid": (uuid.UUID, str, uuid.UUID),
}


class InvalidCursor(ValueError):
    """The cursor is not from this list in this order."""


# It stands for a value that has no room in a cursor.
TOO_LONG = object()


class Cursor(NamedTuple):
    """Rows before or after the row with these values; without values, before the end."""

    backward: bool
    values: Sequence[object]


def encode_cursor(cursor: Cursor, *, order: str) -> str:
    """Return the cursor as text for a URL, signed for this order."""
    values = [encode_value(value) for value in cursor.values]
    return _get_signer(order).sign_object([cursor.backward, values], compress=True)


def decode_cursor(text: str, *, order: str) -> Cursor:
    """Return the cursor of a text; raise InvalidCursor if it was not made for this order."""
    try:
        backward, values = _get_signer(order).unsign_object(text)
    except BadSignature as error:
        raise InvalidCursor from error
    return Cursor(backward, [decode_value(value) for value in values])


def _get_signer(order: str) -> Signer:
    return Signer(sep="~", salt=f"{SALT}:{order}")


def encode_value(value: object) -> object:
    """Return the value as JSON has it: what JSON lacks is an object that names its type."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if value is TOO_LONG:
        return {}
    for name, (kind, to_text, _) in TYPES.items():
        if isinstance(value, kind):
            return {name: to_text(value)}
    raise ImproperlyConfigured(f"Pages cannot be ordered by a {type(value).__name__!r}.")


def decode_value(value: object) -> object:
    """Return the value that was encoded."""
    if not isinstance(value, dict):
        return value
    for name, text in value.items():
        return TYPES[name][2](text)
    return TOO_LONG

"""The cells of Django's types on SQLite, from what SQLite holds, a column at a time.

SQLite knows texts and numbers only. Django has them parsed into objects that print as the same
texts again, so it is enough to see that they would.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from django_infra.exporter.sources.cell_sql import (
    CONVERT_BOOLEAN,
    CONVERT_DATE,
    CONVERT_DATETIME,
    CONVERT_DECIMAL,
    CONVERT_TIME,
    CONVERT_UUID,
    CONVERT_VALUE,
    PLAIN,
    Conversion,
    Form,
    UnknownForm,
)

Read: TypeAlias = Callable[[Sequence[Any]], Sequence[str | None] | None]

# Keeps the driver from parsing what a table declares as a date or a boolean.
UNDECLARED = "+({0})"

# SQLite keeps decimals as floating-point numbers, of which Django takes so many digits.
DECIMAL_DIGITS = 15

MAX_KNOWN_DATES = 100_000

_BOOLEANS = {0: "False", 1: "True", None: None}
_HEXADECIMAL = "0123456789abcdef"
_DIGITS_TO_ZERO = str.maketrans("123456789", "0" * 9)
_DATETIME_SHAPES = ("0000-00-00 00:00:00.000000\n", "0000-00-00 00:00:00\n")
_TIME_SHAPES = ("00:00:00.000000\n", "00:00:00\n")


def get_form(conversion: Conversion, *, datetime_suffix: str | None) -> Form | None:
    """Return the form of a column that Django converts so.

    ``datetime_suffix`` is what datetimes print after what SQLite holds, None if that is not known.
    """
    match conversion.names:
        case (name,) if name == CONVERT_DECIMAL and conversion.column is not None:
            return _get_decimal_form(conversion.column.output_field)
        case (name,) if name == CONVERT_DATETIME and datetime_suffix is not None:
            return Form(UNDECLARED, _make_datetime_reader(datetime_suffix))
        case (name,) if name == CONVERT_DATE:
            return Form(UNDECLARED, _make_date_reader())
    return _FORMS.get(conversion.names)


def _skip_nulls(read: Read) -> Read:
    """Have the function read one value or more, of which none is None."""

    def read_some(values: Sequence[Any]) -> Sequence[str | None] | None:
        if None not in values:
            return read(values)
        some = [value for value in values if value is not None]
        if not some:
            return values
        if (cells := read(some)) is None:
            return None
        rest = iter(cells)
        return [None if value is None else next(rest) for value in values]

    return read_some


def _read_booleans(values: Sequence[Any]) -> Sequence[str | None]:
    try:
        return [_BOOLEANS[value] for value in values]
    except (KeyError, TypeError) as error:
        raise UnknownForm("A boolean is neither 0 nor 1.") from error


def _make_date_reader() -> Read:
    known: set[str | None] = {None}

    def read_dates(values: Sequence[Any]) -> Sequence[str | None]:
        if not known.issuperset(values):
            new = set(values) - known
            if not all(map(_is_date, new)):
                raise UnknownForm("A date is not written as Django does.")
            if len(known) > MAX_KNOWN_DATES:
                known.clear()
            known.update(new, {None})
        return values

    return read_dates


def _is_date(value: Any) -> bool:
    try:
        return bool(str(datetime.date.fromisoformat(value)) == value)
    except (TypeError, ValueError):
        return False


def _make_datetime_reader(suffix: str) -> Read:
    @_skip_nulls
    def read_datetimes(values: Sequence[Any]) -> Sequence[str | None]:
        _check_shapes(values, _DATETIME_SHAPES, datetime.datetime.fromisoformat)
        return [text + suffix for text in values] if suffix else values

    return read_datetimes


@_skip_nulls
def _read_times(values: Sequence[Any]) -> Sequence[str | None]:
    _check_shapes(values, _TIME_SHAPES, datetime.time.fromisoformat)
    return values


def _check_shapes(
    values: Sequence[Any], shapes: Sequence[str], parse: Callable[[str], object]
) -> None:
    """Raise UnknownForm unless all values are texts that print as they are once parsed."""
    try:
        rest = "\n".join(values) + "\n"
        # Python prints no decimals of a whole second.
        is_printed = ".000000" not in rest
        rest = rest.translate(_DIGITS_TO_ZERO)
        for shape in shapes:
            rest = rest.replace(shape, "")
        # What is parsed is an object, and so true.
        if is_printed and not rest.strip("\n") and all(map(parse, values)):
            return
    except (TypeError, ValueError) as error:
        raise UnknownForm(str(error)) from error
    raise UnknownForm("A date or time is not written as Django does.")


@_skip_nulls
def _read_uuids(values: Sequence[Any]) -> Sequence[str | None] | None:
    try:
        is_plain = set(map(len, values)) <= {32} and not "".join(values).strip(_HEXADECIMAL)
    except TypeError:
        return None
    if not is_plain:
        return None
    return [f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}" for text in values]


def _get_decimal_form(field: Any) -> Form | None:
    places = field.decimal_places
    # With more places, small numbers have an exponent.
    if places is None or places > 6:
        return None
    digits = min(DECIMAL_DIGITS, field.max_digits or DECIMAL_DIGITS)
    # Numbers below have no more digits than they keep.
    limit = 10.0 ** (digits - places)
    template = f"%.{places}f\n"

    @_skip_nulls
    def read_decimals(values: Sequence[Any]) -> Sequence[str | None] | None:
        if not set(map(type, values)) <= {int, float}:
            return None
        cells = (template * len(values) % tuple(values)).split("\n")
        cells.pop()
        # A number that its cell gives back needs no rounding.
        is_exact = list(map(float, cells)) == list(values)
        is_short = -limit < min(values) and max(values) < limit
        return cells if is_exact and is_short else None

    return Form(read=read_decimals)


@_skip_nulls
def _read_computed_decimals(values: Sequence[Any]) -> Sequence[str | None] | None:
    # Versions of Django differ in what they make of larger integers.
    limit = 10**DECIMAL_DIGITS
    is_known = set(map(type, values)) <= {int, float} and max(map(abs, values)) < limit
    create = decimal.Context(prec=DECIMAL_DIGITS).create_decimal_from_float
    return list(map(str, map(create, values))) if is_known else None


_FORMS = {
    (CONVERT_BOOLEAN,): Form(UNDECLARED, _read_booleans),
    (CONVERT_TIME,): Form(UNDECLARED, _read_times),
    (CONVERT_UUID,): Form(PLAIN, _read_uuids),
    (CONVERT_DECIMAL, CONVERT_VALUE): Form(PLAIN, _read_computed_decimals),
}

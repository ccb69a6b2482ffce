"""The cells of MariaDB's and MySQL's types in SQL: the text of each is ``str()`` of Django's value.

A value that Python has no object for, such as a day of zero, makes the statement fail with the
error OUT_OF_RANGE, so that it can be told in the way of all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django_infra.exporter.sources.cell_sql import (
    CONVERT_BOOLEAN,
    CONVERT_DATETIME,
    CONVERT_UUID,
    INTEGER_FIELDS,
    Conversion,
    Form,
)

OUT_OF_RANGE = 1690

# As the protocol numbers them.
TINY, SHORT, LONG, DOUBLE, LONGLONG, INT24 = 1, 2, 3, 5, 8, 9
TIMESTAMP, DATE, TIME, DATETIME, NEWDECIMAL = 7, 10, 11, 12, 246

INTEGERS = {TINY, SHORT, LONG, LONGLONG, INT24}
DATETIMES = {TIMESTAMP, DATETIME}


@dataclass(frozen=True)
class Server:
    """What forms depend on, besides the column."""

    is_mariadb: bool
    # What datetimes print after what the server holds, None if that is not known.
    datetime_suffix: str | None


@dataclass(frozen=True)
class Column:
    """A column as the server describes it, and as Django converts it."""

    type_code: int
    scale: int
    conversion: Conversion


def get_form(column: Column, server: Server) -> Form | None:
    """Return the form of a column; texts need none, since drivers read them as fast."""
    code, conversion = column.type_code, column.conversion
    if code in INTEGERS and conversion.keeps(INTEGER_FIELDS):
        return Form(_NUMBER)
    if code == NEWDECIMAL and column.scale <= 6 and conversion.keeps({"DecimalField"}):
        return Form(_NUMBER)
    if code == DOUBLE and conversion.keeps({"FloatField"}):
        return Form(_NUMBER, _read_floats)
    # To mention anything else again is to compute it again.
    sql = _get_bare_form(column, server) if conversion.is_bare else None
    return None if sql is None else Form(sql)


def _get_bare_form(column: Column, server: Server) -> str | None:
    code, names = column.type_code, column.conversion.names
    if code in INTEGERS:
        return _BOOLEAN if names == (CONVERT_BOOLEAN,) else None
    if names == (CONVERT_UUID,):
        # MySQL has no type for them.
        return _UUID if server.is_mariadb else None
    if code in DATETIMES:
        return _get_datetime_form(column, server.datetime_suffix)
    return None if names else _FORMS.get(code)


def _get_datetime_form(column: Column, suffix: str | None) -> str | None:
    expected = (CONVERT_DATETIME,) if suffix else ()
    if suffix is None or column.conversion.names != expected:
        return None
    precise = "{0}" if column.scale == 6 else "CAST({0} AS DATETIME(6))"
    return _DATETIME.replace("SUFFIX", suffix).replace("PRECISE", precise)


def _read_floats(values: Sequence[Any]) -> Sequence[str | None]:
    """Return the texts of floats, most of which Python writes as the server does."""
    texts = [text for text in values if text is not None] if None in values else values
    joined = "\n".join(texts)
    has_points = joined.count(".") == len(texts)
    # The server writes small numbers without an exponent, and large ones in another way.
    if has_points and "e" not in joined and "0.0000" not in joined:
        return values
    return [None if text is None else str(float(text)) for text in values]


# Fails where it is reached, and not before.
_REFUSAL = "9223372036854775807 + 1 + LENGTH({0})"

# The sum has no leading zeros, whatever the column is to be shown with.
_NUMBER = "CAST({0} + 0 AS CHAR)"
_BOOLEAN = "CASE {0} WHEN 1 THEN 'True' WHEN 0 THEN 'False' ELSE CAST({0} + 0 AS CHAR) END"
_UUID = f"""
    CASE WHEN CHARSET({{0}}) <> 'binary' AND CAST({{0}} AS UUID) IS NOT NULL
    THEN CAST(CAST({{0}} AS UUID) AS CHAR)
    WHEN {{0}} IS NOT NULL THEN {_REFUSAL} END
"""

# Years before 1 have less, and dates with a month or a day of zero have none.
_IS_DATE = "TO_DAYS({0}) >= 366"
_DATE = f"""
    CASE WHEN {_IS_DATE} THEN {{0}}
    WHEN {{0}} IS NOT NULL THEN {_REFUSAL} END
"""
_DATETIME = f"""
    CASE WHEN {_IS_DATE} THEN
        CASE WHEN MICROSECOND({{0}}) = 0 THEN CONCAT(LEFT({{0}}, 19), 'SUFFIX')
        ELSE CONCAT(PRECISE, 'SUFFIX') END
    WHEN {{0}} IS NOT NULL THEN {_REFUSAL} END
"""
_TIME = f"""
    CASE WHEN {{0}} >= '00:00:00' AND {{0}} < '24:00:00' THEN
        CASE WHEN MICROSECOND({{0}}) = 0 THEN LEFT({{0}}, 8) ELSE CAST({{0}} AS TIME(6)) END
    WHEN {{0}} IS NOT NULL THEN {_REFUSAL} END
"""

_FORMS = {DATE: _DATE, TIME: _TIME}

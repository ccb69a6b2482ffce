"""The cells of MariaDB's and MySQL's types in SQL: the text of each is ``str()`` of Django's value.

A value that Python has no object for, such as a day of zero, makes the statement fail with the
error OUT_OF_RANGE, so that it can be told in the way of all others.
"""

from __future__ import annotations

from dataclasses import dataclass

from django_infra.exporter.sources.forms import (
    CONVERT_BOOLEAN,
    CONVERT_DATETIME,
    CONVERT_UUID,
    Conversion,
)

OUT_OF_RANGE = 1690

# As the protocol numbers them.
TINY, SHORT, LONG, LONGLONG, INT24 = 1, 2, 3, 8, 9
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


def get_form(column: Column, server: Server) -> str | None:
    """Return SQL over an expression {0} whose text is that of the cell.

    Integers, floating-point numbers and texts need no form: drivers read them as fast.
    """
    code, conversion = column.type_code, column.conversion
    if code == NEWDECIMAL and column.scale <= 6 and conversion.keeps({"DecimalField"}):
        return _DECIMAL
    # To mention anything else again is to compute it again.
    return _get_bare_form(code, conversion, server) if conversion.is_bare else None


def _get_bare_form(code: int, conversion: Conversion, server: Server) -> str | None:
    if code in INTEGERS:
        return _BOOLEAN if conversion.names == (CONVERT_BOOLEAN,) else None
    if conversion.names == (CONVERT_UUID,):
        # MySQL has no type for them.
        return _UUID if server.is_mariadb else None
    if code not in DATETIMES:
        return None if conversion.names else _FORMS.get(code)
    if server.datetime_suffix is None:
        return None
    expected = (CONVERT_DATETIME,) if server.datetime_suffix else ()
    is_known = conversion.names == expected
    return _DATETIME.replace("SUFFIX", server.datetime_suffix) if is_known else None


# Fails where it is reached, and not before.
_REFUSAL = "9223372036854775807 + 1 + LENGTH({0})"

# The sum has no leading zeros, whatever the column is to be shown with.
_DECIMAL = "CAST({0} + 0 AS CHAR)"
_BOOLEAN = "CASE {0} WHEN 1 THEN 'True' WHEN 0 THEN 'False' ELSE CAST({0} + 0 AS CHAR) END"
_UUID = f"""
    CASE WHEN CHARSET({{0}}) <> 'binary' AND CAST({{0}} AS UUID) IS NOT NULL
    THEN CAST(CAST({{0}} AS UUID) AS CHAR)
    WHEN {{0}} IS NOT NULL THEN {_REFUSAL} END
"""

# Years before 1 have less, and dates with a month or a day of zero have none.
_IS_DATE = "TO_DAYS({0}) >= 366"
_DATE = f"""
    CASE WHEN {_IS_DATE} THEN CAST({{0}} AS CHAR)
    WHEN {{0}} IS NOT NULL THEN {_REFUSAL} END
"""
_DATETIME = f"""
    CASE WHEN {_IS_DATE} THEN
        CASE WHEN MICROSECOND({{0}}) = 0 THEN CONCAT(LEFT(CAST({{0}} AS CHAR), 19), 'SUFFIX')
        ELSE CONCAT(CAST(CAST({{0}} AS DATETIME(6)) AS CHAR), 'SUFFIX') END
    WHEN {{0}} IS NOT NULL THEN {_REFUSAL} END
"""
_TIME = f"""
    CASE WHEN {{0}} >= '00:00:00' AND {{0}} < '24:00:00' THEN
        CASE WHEN MICROSECOND({{0}}) = 0 THEN LEFT(CAST({{0}} AS CHAR), 8)
        ELSE CAST(CAST({{0}} AS TIME(6)) AS CHAR) END
    WHEN {{0}} IS NOT NULL THEN {_REFUSAL} END
"""

_FORMS = {DATE: _DATE, TIME: _TIME}

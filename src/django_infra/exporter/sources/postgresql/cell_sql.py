"""The cells of PostgreSQL's types in SQL: the text of each is ``str()`` of what Django loads.

A value that Python has no object for, such as 'infinity' among dates, makes the statement fail
with MARKER in its message, so that it can be told in the way of all others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from django_infra.exporter.sources.cell_sql import INTEGER_FIELDS, Conversion

MARKER = "exporter has no form for"

BOOL, BYTEA, INT8, INT2, INT4, TEXT, FLOAT8, VARCHAR = 16, 17, 20, 21, 23, 25, 701, 1043
INET = 869
DATE, TIME, TIMESTAMP, TIMESTAMPTZ, NUMERIC, UUID = 1082, 1083, 1114, 1184, 1700, 2950

TEXTS = {TEXT, VARCHAR}

# The names under which psycopg 3, psycopg2 and Django load the types, unless a project has
# registered a loader of its own.
LOADERS = {
    BOOL: {"BoolLoader", "BOOLEAN"},
    BYTEA: {"ByteaLoader", "BINARY"},
    INT8: {"IntLoader", "LONGINTEGER"},
    INT2: {"IntLoader", "INTEGER"},
    INT4: {"IntLoader", "INTEGER"},
    TEXT: {"TextLoader", "STRING", "UNICODE"},
    FLOAT8: {"FloatLoader", "FLOAT"},
    VARCHAR: {"TextLoader", "STRING", "UNICODE"},
    DATE: {"DateLoader", "DATE", "PYDATE"},
    TIME: {"TimeLoader", "TIME", "PYTIME"},
    TIMESTAMP: {"TimestampLoader", "DATETIME", "PYDATETIME"},
    TIMESTAMPTZ: {"SpecificTzLoader", "DATETIMETZ", "PYDATETIMETZ"},
    NUMERIC: {"NumericLoader", "DECIMAL"},
    UUID: {"UUIDLoader", "UUID"},
    # psycopg2 has no loader for it, and gives the text.
    INET: {"TextLoader", ""},
}

# Fields of which Django's convert_value() makes nothing else of the types' values.
_SUITABLE_FIELDS = {
    INT2: INTEGER_FIELDS,
    INT4: INTEGER_FIELDS,
    INT8: INTEGER_FIELDS,
    FLOAT8: {"FloatField"},
    NUMERIC: {"DecimalField"},
}


@dataclass(frozen=True)
class Session:
    """The settings of a session on which the text of values depends."""

    # By these names, in this order.
    SETTINGS: ClassVar = (
        "DateStyle",
        "extra_float_digits",
        "server_encoding",
        "statement_timeout",
        "TimeZone",
    )

    date_style: str
    extra_float_digits: str
    server_encoding: str
    statement_timeout: str
    time_zone: str
    # What makes Python's texts of the forms'.
    text_loader: str
    # Are Django's datetimes aware and in UTC?
    is_django_in_utc: bool

    @property
    def has_time_limit(self) -> bool:
        return self.statement_timeout != "0"

    @property
    def has_plain_text(self) -> bool:
        return self.server_encoding == "UTF8" and self.text_loader in LOADERS[TEXT]

    @property
    def has_iso_dates(self) -> bool:
        return self.date_style.startswith("ISO")


@dataclass(frozen=True)
class Column:
    """A column as the server describes it, as the driver loads it and as Django converts it."""

    oid: int
    scale: int | None
    loader: str
    conversion: Conversion


def get_form(column: Column, session: Session, escape_formulas: bool) -> str | None:
    """Return SQL over a column named {0} whose text is that of the cell, NULL if that is empty."""
    form = _choose_form(column, session, escape_formulas)
    # A project may have functions of the same names.
    return form and _FUNCTION.sub(r"pg_catalog.\1(", form)


def _choose_form(column: Column, session: Session, escape_formulas: bool) -> str | None:
    if not session.has_plain_text or not _is_loaded_as_it_is(column):
        return None
    match column.oid:
        case _ if column.oid in TEXTS:
            return _TEXT_GUARDED if escape_formulas else _TEXT
        case _ if column.oid in {DATE, TIME, TIMESTAMP, TIMESTAMPTZ}:
            return _get_time_form(column.oid, session)
        case _ if column.oid == NUMERIC:
            return _PLAIN if column.scale is not None and column.scale <= 6 else _NUMERIC
        case _ if column.oid == FLOAT8:
            # Only then can the text be read back as the same number.
            return _FLOAT if int(session.extra_float_digits) > 0 else None
    return _FORMS[column.oid]


def _is_loaded_as_it_is(column: Column) -> bool:
    if column.loader not in LOADERS.get(column.oid, ()):
        return False
    return column.conversion.keeps(_SUITABLE_FIELDS.get(column.oid, ()))


def _get_time_form(oid: int, session: Session) -> str | None:
    if not session.has_iso_dates:
        return None
    if oid != TIMESTAMPTZ:
        return _TIME_FORMS[oid]
    return _TIMESTAMPTZ if session.is_django_in_utc and session.time_zone == "UTC" else None


_FUNCTION = re.compile(
    r"\b(abs|ascii|encode|family|host|left|length|ltrim|masklen|replace|rpad|rtrim|scale"
    r"|split_part|substr|trunc)\("
)

# SQL that fails where it is reached, and not before.
_REFUSAL = f"('{MARKER} ' || {{0}}::text)::integer::text"


def _get_fraction_form(type_: str, *, bounds: str, width: int, zone: str = "") -> str:
    """Return a form that gives seconds no or six decimals, where the server cuts zeros."""
    whole, padded = "{0}::text", f"rpad({{0}}::text, {width}, '0')"
    if zone:
        whole, padded = f"{whole} || ':00'", f"rpad(left({whole}, -3), {width}, '0') || '{zone}'"
    return f"""
        CASE WHEN {{0}} {bounds} THEN
            CASE WHEN {{0}} <> {{0}}::{type_}(5) THEN {whole}
            WHEN {{0}} = {{0}}::{type_}(0) THEN {whole}
            ELSE {padded} END
        WHEN {{0}} IS NOT NULL THEN {_REFUSAL} END
    """


_PLAIN = "{0}"

_BOOL = "CASE WHEN {0} THEN 'True' WHEN NOT {0} THEN 'False' END"

# Under "C" nothing but the empty text equals it.
_TEXT = """NULLIF({0} COLLATE "C", '')"""

# The triggers and the plain numbers of writers.cells.
_TEXT_GUARDED = f"""
    CASE WHEN ascii({{0}}) IN (9, 10, 13, 43, 45, 61, 64, 65279, 65291, 65293, 65309, 65312)
    AND {{0}} COLLATE "C" !~ '^[+-]?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?$'
    THEN '''' || {{0}} ELSE {_TEXT} END
"""

_BYTEA = "NULLIF(encode({0}, 'hex'), '')"

# Python knows the years from 1 to 9999.
_DATE = f"""
    CASE WHEN {{0}} BETWEEN '0001-01-01'::date AND '9999-12-31'::date THEN {{0}}::text
    WHEN {{0}} IS NOT NULL THEN {_REFUSAL} END
"""
_TIME = _get_fraction_form("time", bounds="< '24:00:00'::time", width=15)
_TIMESTAMP = _get_fraction_form(
    "timestamp",
    bounds="BETWEEN '0001-01-01'::timestamp AND '9999-12-31 23:59:59.999999'::timestamp",
    width=26,
)
_TIMESTAMPTZ = _get_fraction_form(
    "timestamptz",
    bounds="BETWEEN '0001-01-01 00:00:00+00'::timestamptz"
    " AND '9999-12-31 23:59:59.999999+00'::timestamptz",
    width=26,
    zone="+00:00",
)
_TIME_FORMS = {DATE: _DATE, TIME: _TIME, TIMESTAMP: _TIMESTAMP}

# Python writes an exponent from 1e16 on, PostgreSQL from 1e15 on.
_DIGITS = "replace(split_part(abs({0})::text, 'e', 1), '.', '')"
# Python may give a digit less: that of a number half-way to the next one, which is read back as
# the same, and which PostgreSQL leaves out.
_LARGE = """(
    SELECT CASE WHEN {0} < 0 THEN '-' ELSE '' END || left(digits, 1)
        || CASE WHEN length(digits) > 1 THEN '.' || substr(digits, 2) ELSE '' END
        || 'e+' || exponent::text
    FROM (
        SELECT rtrim(number::text, '0') AS digits, length(number::text) - 1 AS exponent
        FROM (SELECT abs({0})::text::numeric AS shortest) AS known,
        LATERAL (
            SELECT length(shortest::text) - length(rtrim(shortest::text, '0')) + 1 AS zeros
        ) AS cut,
        LATERAL (
            VALUES (shortest), (trunc(shortest, -zeros)),
            (trunc(shortest, -zeros) + ('1e' || zeros)::numeric)
        ) AS candidate (number)
        WHERE number::float8 = abs({0})
        ORDER BY length(rtrim(number::text, '0')) LIMIT 1
    ) AS best
)"""
_FLOAT = f"""
    CASE WHEN {{0}} > '-1e15'::float8 AND {{0}} < '1e15'::float8 THEN
        CASE WHEN {{0}} = trunc({{0}}) THEN {{0}}::text || '.0' ELSE {{0}}::text END
    WHEN abs({{0}}) < '1e16'::float8 THEN
        CASE WHEN {{0}} < 0 THEN '-' ELSE '' END
        || rpad(left({_DIGITS}, 16), 16, '0')
        || '.' || COALESCE(NULLIF(substr({_DIGITS}, 17), ''), '0')
    WHEN {{0}} = 'NaN'::float8 THEN 'nan'
    WHEN {{0}} = 'Infinity'::float8 THEN 'inf'
    WHEN {{0}} = '-Infinity'::float8 THEN '-inf'
    WHEN abs({{0}}) < '1e41'::float8 THEN {_LARGE}
    ELSE {{0}}::text END
"""

# Python writes an exponent where more than six zeros would follow the point.
_SIGNIFICANT = "COALESCE(NULLIF(ltrim(split_part(abs({0})::text, '.', 2), '0'), ''), '0')"
_NUMERIC = f"""
    CASE WHEN scale({{0}}) > 6 AND abs({{0}}) < 0.000001 THEN
        CASE WHEN {{0}} < 0 THEN '-' ELSE '' END
        || left({_SIGNIFICANT}, 1)
        || CASE WHEN length({_SIGNIFICANT}) > 1 THEN '.' ELSE '' END || substr({_SIGNIFICANT}, 2)
        || 'E' || (length({_SIGNIFICANT}) - 1 - scale({{0}}))::text
    ELSE {{0}}::text END
"""

# The server leaves out the mask of a single host, but not in a cast.
_INET = """
    CASE WHEN masklen({0}) = CASE family({0}) WHEN 4 THEN 32 ELSE 128 END THEN host({0})
    ELSE {0}::text END
"""

_FORMS = {
    BOOL: _BOOL,
    BYTEA: _BYTEA,
    INET: _INET,
    INT2: _PLAIN,
    INT4: _PLAIN,
    INT8: _PLAIN,
    UUID: _PLAIN,
}

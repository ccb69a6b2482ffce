"""The text of a cell: what ``str()`` gives, except where that is not data."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import re
import uuid
from collections.abc import Sequence
from operator import itemgetter
from types import NoneType
from typing import Any

# Their str() is the cell, and no spreadsheet takes it for a formula.
PLAIN_TYPES: frozenset[type] = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        decimal.Decimal,
        datetime.date,
        datetime.datetime,
        datetime.time,
        datetime.timedelta,
        uuid.UUID,
    }
)

TEXT_TYPES: frozenset[type] = frozenset({str, type(None)})

# https://owasp.org/www-community/attacks/CSV_Injection, the full-width forms that some
# spreadsheets fold to ASCII, and the byte order mark, which Excel skips.
FORMULA_TRIGGERS = frozenset("=+-@\t\r\n＝＋－＠\ufeff")
_get_first_character = itemgetter(0)
_is_plain_number = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?").fullmatch


def format_column(values: Sequence[Any], *, escape_formulas: bool) -> Sequence[Any]:
    """Return the values with those replaced that ``csv.writer`` would not write as a cell."""
    types = set(map(type, values)) - PLAIN_TYPES
    if not types or (types == {str} and not escape_formulas):
        return values
    texts = [value if type(value) in PLAIN_TYPES else get_cell_text(value) for value in values]
    return (
        [
            escape_formula(text) if isinstance(value, str) else text
            for text, value in zip(texts, values, strict=True)
        ]
        if escape_formulas
        else texts
    )


def format_texts(values: Sequence[Any], *, escape_formulas: bool) -> Sequence[str | None]:
    """Return the text of each value, as a cell has it; None may stay, and is an empty cell."""
    types = set(map(type, values))
    if types <= TEXT_TYPES:
        return escape_texts(values) if escape_formulas else values
    if NoneType not in types and types <= PLAIN_TYPES:
        return list(map(str, values))
    if types <= PLAIN_TYPES:
        return [None if value is None else str(value) for value in values]
    texts = list(map(get_cell_text, values))
    if not escape_formulas:
        return texts
    return [
        escape_formula(text) if isinstance(value, str) else text
        for text, value in zip(texts, values, strict=True)
    ]


def get_cell_text(value: Any) -> str:
    """Return the text of one value.

    Containers are JSON, in which NaN, infinities and whatever JSON does not know are strings of
    their own cell text. Binary data is lower-case hex.
    """
    match value:
        case None:
            return ""
        case str():
            return value
        case dict() | list() | tuple():
            return _get_json(value)
        case bytes() | bytearray() | memoryview():
            return value.hex()
        case _:
            return str(value)


def escape_texts(texts: Sequence[str | None]) -> Sequence[str | None]:
    """Escape the formulas among texts, most of which are none."""
    if FORMULA_TRIGGERS.isdisjoint(map(_get_first_character, filter(None, texts))):
        return texts
    return [
        escape_formula(text) if text and text[0] in FORMULA_TRIGGERS else text for text in texts
    ]


def escape_formula(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would run, unless it is a number."""
    if text and text[0] in FORMULA_TRIGGERS and not _is_plain_number(text):
        return "'" + text
    return text


def _get_json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=get_cell_text)
    except (TypeError, ValueError):
        # Some number is not finite, or some key is no text. Plain data is quick, so pay here.
        return json.dumps(_get_jsonable(value), ensure_ascii=False)


def _get_jsonable(value: Any) -> Any:
    match value:
        case dict():
            return {_get_json_key(key): _get_jsonable(item) for key, item in value.items()}
        case list() | tuple():
            return [_get_jsonable(item) for item in value]
        case float() if not math.isfinite(value):
            return str(value)
        case None | bool() | int() | float() | str():
            return value
        case _:
            return get_cell_text(value)


def _get_json_key(key: Any) -> Any:
    """Return the key, as its cell text unless json.dumps() knows its text."""
    is_known = key is None or isinstance(key, str | bool | int)
    return key if is_known else get_cell_text(key)

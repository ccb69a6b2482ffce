"""The text of a cell: what ``str()`` gives, except where that is not data."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import numbers
import re
import uuid
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from types import NoneType
from typing import Any, AnyStr

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

# No text of a person's: numbers, dates and times, hexadecimal digits, and JSON, which begins with a
# bracket and would be other data with an apostrophe inside.
UNGUARDED_TYPES = (
    numbers.Number,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    uuid.UUID,
    bytes,
    bytearray,
    memoryview,
    dict,
    list,
    tuple,
)

# https://owasp.org/www-community/attacks/CSV_Injection, the full-width forms that some
# spreadsheets fold to ASCII, and the byte order mark, which Excel skips.
INNER_TRIGGERS = "=+-@＝＋－＠\ufeff"
FORMULA_TRIGGERS = frozenset(INNER_TRIGGERS + "\t\r\n")
# Behind one of these, cells begin for a program that divides lines at it, or that knows of no
# line ends within quotes.
SEPARATORS = ";\t\r\n"

_WINDOW = 1 << 15  # characters whose formulas are escaped at a time

_get_first_character = itemgetter(0)
_is_plain_number = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?").fullmatch


def make_inner_pattern(separator: str, *, quote: str) -> str:
    """Return a pattern of what is before an inner trigger.

    With the quote of a text a program may take the cell for one that begins with an empty text
    in quotes, and goes on with the trigger.
    """
    triggers = "|".join(map(re.escape, INNER_TRIGGERS))
    return f"{re.escape(separator)}(?:{quote})?(?={triggers})"


_INNER_PATTERNS = {
    separator: re.compile(make_inner_pattern(separator, quote='"')) for separator in SEPARATORS
}


def format_column(values: Sequence[Any], *, escape_formulas: bool) -> Sequence[Any]:
    """Return the values with those replaced that ``csv.writer`` would not write as a cell."""
    types = set(map(type, values)) - PLAIN_TYPES
    if not types or (types == {str} and not escape_formulas):
        return values
    texts = [value if type(value) in PLAIN_TYPES else get_cell_text(value) for value in values]
    return _escape_guarded(texts, values, types) if escape_formulas else texts


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
    return _escape_guarded(texts, values, types) if escape_formulas else texts


def _escape_guarded(
    texts: Sequence[Any], values: Sequence[Any], types: Collection[type]
) -> Sequence[Any]:
    """Escape the formulas among the texts of values that may be any text."""
    guarded = {each for each in types if not issubclass(each, UNGUARDED_TYPES)}
    return [
        escape_formula(text) if type(value) in guarded else text
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
    some = list(filter(None, texts))
    has_first_trigger = not FORMULA_TRIGGERS.isdisjoint(map(_get_first_character, some))
    # One search through all of them finds too much at worst.
    if not has_first_trigger and not _has_inner_trigger("".join(some)):
        return texts
    return [text and escape_formula(text) for text in texts]


def escape_formula(text: str) -> str:
    """Put apostrophes into a text where a spreadsheet would run it, unless it is a number.

    They come before a trigger with which the text begins, and before each one inside that
    follows a separator.
    """
    escaped = escape_inner_formulas(text, _INNER_PATTERNS, r"\g<0>'")
    if text and text[0] in FORMULA_TRIGGERS and not _is_plain_number(text):
        return "'" + escaped
    return escaped


def escape_inner_formulas(
    text: AnyStr, patterns: Mapping[AnyStr, re.Pattern[AnyStr]], replacement: AnyStr
) -> AnyStr:
    """Replace what the pattern of each separator finds."""
    for separator, pattern in patterns.items():
        if separator in text and pattern.search(text):
            text = _replace(text, separator, pattern, replacement)
    return text


def _replace(
    text: AnyStr, separator: AnyStr, pattern: re.Pattern[AnyStr], replacement: AnyStr
) -> AnyStr:
    """Replace window by window, since many short pieces take many times the memory of the text.

    Each begins with a separator, so that no match is divided.
    """
    windows = []
    start = 0
    while start < len(text):
        stop = text.find(separator, start + _WINDOW)
        stop = len(text) if stop < 0 else stop
        windows.append(pattern.sub(replacement, text[start:stop]))
        start = stop
    return text[:0].join(windows)


def _has_inner_trigger(text: str) -> bool:
    return any(
        separator in text and pattern.search(text) for separator, pattern in _INNER_PATTERNS.items()
    )


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

"""What the formula guard is to make of a text, told without the package's own code."""

from __future__ import annotations

import csv
import decimal
import functools
import io
import itertools
import re

from exporter.conftest import make_expected_cell
from generated import st

TRIGGERS = set("=+-@＝＋－＠\ufeff")
SEPARATORS = set(";\t\r\n")
QUOTED = set(',"\r\n;\t')

# Rich in what the guard is about.
pieces = st.sampled_from([*'=+-@＝＋－＠\ufeff;;;\t\r\n""\',x15.eé ', "\r\n", ";=", '";"=', "-5"])
texts = st.lists(pieces, max_size=12).map("".join)


# Large cells come several times, and take a second each.
@functools.lru_cache(maxsize=8)
def guard(text):
    """Put an apostrophe before the triggers with which a cell may begin."""
    if is_plain_number(text):
        return text
    dangerous = [0] if text[:1] in TRIGGERS | {"\t", "\r", "\n"} else []
    for found in re.finditer("[" + re.escape("".join(TRIGGERS)) + "]", text):
        position = found.start()
        before = text[max(position - 2, 0) : position]
        if before[-1:] in SEPARATORS or (before[-1:] == '"' and before[:1] in SEPARATORS):
            dangerous.append(position)
    bounds = [0, *dangerous, len(text)]
    return "'".join(text[start:stop] for start, stop in itertools.pairwise(bounds))


def is_plain_number(text):
    """Tell it by parsing, where the guard uses a pattern."""
    try:
        number = decimal.Decimal(text)
    except decimal.InvalidOperation:
        return False
    characters = set(text) <= set("+-0123456789.eE")
    digits = text.lower().partition("e")[0].lstrip("+-").split(".")
    return characters and number.is_finite() and all(digits)


def write_guarded(headers, rows):
    """Return the file that the guard makes of values, of which only texts are guarded."""
    lines = [quote(list(map(make_guarded_cell, row))) for row in (headers, *rows)]
    return "".join(",".join(line) + "\r\n" for line in lines).encode()


def make_guarded_cell(value):
    if value is None:
        return ""
    return guard(value) if isinstance(value, str) else str(make_expected_cell(value))


def quote(cells):
    if cells == [""]:
        return ['""']
    return [
        '"{}"'.format(cell.replace('"', '""')) if QUOTED.intersection(cell) else cell
        for cell in cells
    ]


def divide(text, delimiter, *, honours_quotes):
    """Return the pieces in which a program sees cells if it divides lines at the delimiter."""
    if honours_quotes:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    else:
        lines = [line.split(delimiter) for line in re.split(r"\r\n|\r|\n", text)]
    return [piece for line in lines for piece in line]


def is_formula(piece):
    """Tell whether a piece begins with a trigger, but is no number and begins with no such cell."""
    return piece[:1] in TRIGGERS and not is_plain_number(piece.partition(",")[0])

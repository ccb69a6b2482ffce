"""Say in words how the file of one contender differs from that of another."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal, InvalidOperation
from itertools import zip_longest
from pathlib import Path

BOM = b"\xef\xbb\xbf"
SAME = "same bytes"


def compare_files(reference: Path, path: Path, *, has_tabs: bool = False) -> str:
    """Return what is different in the file at the path, or SAME."""
    expected, actual = reference.read_bytes(), path.read_bytes()
    if expected == actual:
        return SAME
    reasons = []
    if has_tabs:
        reasons.append("tabs")
    else:
        if actual.startswith(BOM) and not expected.startswith(BOM):
            reasons.append("a byte order mark")
        # Cells may hold line ends too, so that a few are no sign.
        if actual.count(b"\r\n") < expected.count(b"\r\n") // 2:
            reasons.append("`\\n` line ends")
    reasons += _compare_rows(reference, path, has_tabs=has_tabs)
    return ", ".join(reasons) or "other quotes"


def _compare_rows(reference: Path, path: Path, *, has_tabs: bool) -> list[str]:
    """Return each reason for which cells differ, once."""
    expected, actual = list(_read_rows(reference)), list(_read_rows(path, has_tabs=has_tabs))
    if len(expected) != len(actual):
        return [f"{len(actual) - 1} rows where there are {len(expected) - 1}"]
    reasons: dict[str, None] = {}
    if expected[0] != actual[0]:
        reasons["other headers"] = None
    # Without a sort the order is the server's to choose.
    pairs = zip(sorted(expected[1:]), sorted(actual[1:]), strict=True)
    for expected_row, actual_row in pairs:
        for header, old, new in zip_longest(expected[0], expected_row, actual_row, fillvalue=""):
            if old != new:
                reasons[_explain(header, old, new)] = None
    return list(reasons)


def _read_rows(path: Path, *, has_tabs: bool = False) -> Iterator[Sequence[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        if has_tabs:
            for line in file:
                yield line.rstrip("\n").split("\t")
        else:
            yield from csv.reader(file)


def _explain(header: str, old: str, new: str) -> str:
    """Return the first reason that turns the old cell into the new one."""
    for reason, is_reason in REASONS:
        with suppress(ValueError, InvalidOperation):
            if is_reason(old, new):
                return reason
    return f"other text in {header}"


def is_same_time(old: str, new: str) -> bool:
    return len(old) > 10 and datetime.fromisoformat(old) == datetime.fromisoformat(new)


def is_same_local_time(old: str, new: str) -> bool:
    naive = datetime.fromisoformat(old).replace(tzinfo=None)
    return len(old) > 10 and naive == datetime.fromisoformat(new)


def is_same_second(old: str, new: str) -> bool:
    naive = datetime.fromisoformat(old).replace(tzinfo=None, microsecond=0)
    return len(old) > 10 and naive == datetime.fromisoformat(new)


# The first that fits is the reason: what turns the old cell into the new one.
REASONS: list[tuple[str, Callable[[str, str], bool]]] = [
    ("formulas get an apostrophe", lambda old, new: new == f"'{old}"),
    ("NULL in words", lambda old, new: not old and new in {"NULL", "None", "nan", "NaT"}),
    ("t and f for booleans", lambda old, new: (old, new) in {("True", "t"), ("False", "f")}),
    ("1 and 0 for booleans", lambda old, new: (old, new) in {("True", "1"), ("False", "0")}),
    ("T in times", lambda old, new: len(old) > 10 and new == old.replace(" ", "T")),
    ("UUIDs without hyphens", lambda old, new: len(old) == 36 and new == old.replace("-", "")),
    ("times in other digits", is_same_time),
    ("times without a zone", is_same_local_time),
    ("times without fractions", is_same_second),
    ("numbers in other digits", lambda old, new: Decimal(old) == Decimal(new)),
    ("rounded numbers", lambda old, new: math.isclose(float(old), float(new), rel_tol=1e-6)),
    (
        "backslashes for line ends",
        lambda old, new: "\n" in old and new == old.replace("\n", "\\n"),
    ),
]

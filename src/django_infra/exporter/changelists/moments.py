"""Tell a date or time that has moved with the clock from one that is another."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.utils import timezone

from django_infra.exporter.exceptions import OtherRows

# As backends write dates and times that have no literals of their own.
_TEXT = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)?(?P<between>[ T])?"
    r"(?P<time>\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?)?"
)
# The largest first: a time is exact to the first that it is a multiple of.
UNITS = (
    timedelta(hours=1),
    timedelta(minutes=1),
    timedelta(seconds=1),
    timedelta(milliseconds=1),
    timedelta(microseconds=1),
)
START = datetime(1970, 1, 1)


def make_moment(value: Any) -> str | None:
    """Return a date or time in ISO format, or None for any other literal."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if not isinstance(value, str):
        return None
    match = _TEXT.fullmatch(value)
    if match is None or bool(match["between"]) != bool(match["date"] and match["time"]):
        return None
    try:
        _parse(value)
    except ValueError:
        return None
    return str(value)


def find_moment_fault(
    first: str, second: str, shortest: timedelta, longest: timedelta
) -> OtherRows | None:
    """Return what is wrong with a moment that has become another while so much time passed."""
    if first == second:
        return None
    try:
        before, after = _parse(first), _parse(second)
        moved = after - before
    except (TypeError, ValueError):
        # A text that never was one, or one with a zone and one without.
        return OtherRows.of_query()
    # Of two times of day that are alike the day has moved; midnight is that of the day itself.
    if _is_date(first) or moved % timedelta(days=1) == timedelta(0) or _is_same_time(before, after):
        return OtherRows.of_date()
    unit = _get_unit(before, after)
    if shortest - unit <= moved <= longest + unit:
        return None
    return OtherRows.of_time(moved, longest)


def _parse(text: str) -> datetime:
    if _is_date(text):
        return datetime.fromisoformat(text)
    if text[2:3] == ":":
        return datetime.combine(START, time.fromisoformat(text))
    return datetime.fromisoformat(text)


def _is_date(text: str) -> bool:
    return len(text) == len("2000-01-01") and ":" not in text


def _is_same_time(before: datetime, after: datetime) -> bool:
    if before.tzinfo is None or after.tzinfo is None:
        return before.time() == after.time()
    zone = timezone.get_current_timezone()
    return before.astimezone(zone).time() == after.astimezone(zone).time()


def _get_unit(before: datetime, after: datetime) -> timedelta:
    start = START if before.tzinfo is None else START.replace(tzinfo=UTC)
    for unit in UNITS:
        if not (before - start) % unit and not (after - start) % unit:
            return unit
    raise AssertionError("Every time is a multiple of a microsecond.")

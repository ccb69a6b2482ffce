"""Tell a date or time that has moved with the clock from one that is another."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from django.utils import timezone

from django_infra.exporter.exceptions import OtherRows

# Backends write dates and times like this where they have no literals of their own.
_TEXT = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)?(?P<between>[ T])?"
    r"(?P<time>\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?)?"
)
# A time is exact to the first of which it is a multiple, so that the largest come first.
UNITS = (
    timedelta(hours=1),
    timedelta(minutes=1),
    timedelta(seconds=1),
    timedelta(milliseconds=1),
    timedelta(microseconds=1),
)
START = datetime(1970, 1, 1)


def make_moment(value: object) -> str | None:
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
        # One of them is no date or time, or has a zone where the other has none.
        return OtherRows.of_query()
    # It is a day, or a fixed time on one, and neither moves with the clock.
    if _is_date(first) or moved % timedelta(days=1) == timedelta(0):
        return OtherRows.of_date()
    zone = timezone.get_current_timezone()
    times = [(each.astimezone(zone) if each.tzinfo else each).time() for each in (before, after)]
    # So is a time that is alike only in its zone, where summer time has begun or ended.
    if times[0] == times[1]:
        return OtherRows.of_date()
    start = START if before.tzinfo is None else START.replace(tzinfo=UTC)
    # Every time is a multiple of the last unit, a microsecond.
    unit = next(unit for unit in UNITS if not ((before - start) % unit or (after - start) % unit))
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

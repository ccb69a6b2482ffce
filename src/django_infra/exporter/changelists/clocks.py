"""Tell the day of a database's own clock, where the rows of a query depend on it.

Such a query has no literal that moves, and other rows after midnight. A time that the clock gives,
such as that of ``Now()`` alone, moves by the time passed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from datetime import timezone as fixed
from zoneinfo import ZoneInfo

from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

# The clock of SQLite's Now() is quoted, and its format is that of a whole time.
_NOW_OF_SQLITE = "STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')"
_NAMES = re.compile(r'"(?:[^"]|"")*"|`[^`]*`')
_DAY = re.compile(
    r"\b(CURRENT_DATE|UTC_DATE)\b|\bCUR(DATE|TIME)\s*\(|'\s*(today|tomorrow|yesterday)\s*'"
    r"|\bage\s*\(",
    re.IGNORECASE,
)
_CLOCK = re.compile(
    r"\b(CURRENT_TIME|CURRENT_TIMESTAMP|LOCALTIME|LOCALTIMESTAMP|UTC_TIME|UTC_TIMESTAMP)\b"
    r"|\b(NOW|SYSDATE|TIMEOFDAY|UNIXEPOCH|UNIX_TIMESTAMP|(CLOCK|STATEMENT|TRANSACTION)_TIMESTAMP)\s*\("
    r"|\b(date|datetime|julianday|time)\s*\(\s*\)|'\s*now\s*'",
    re.IGNORECASE,
)
# What makes a day, or what is counted from its beginning, of a time: also by a text or a number.
_CUT = re.compile(
    r"::\s*(bigint|char|date|int|integer|numeric|text|time|varchar)\b"
    r"|\bAS\s+(bigint|char|date|decimal|int|integer|nchar|numeric|signed|text|time|unsigned|varchar)\b"
    r"|\bDIV\b|\bdjango_(date|datetime|time)_"
    r"|\b(date|date_format|date_part|date_trunc|datediff|datetime|day|dayname|dayofmonth|dayofweek"
    r"|dayofyear|extract|floor|hour|julianday|last_day|left|mid|month|monthname|quarter|round"
    r"|strftime|substr|substring|substring_index|time|time_format|to_char|to_days|trunc|truncate"
    r"|week|weekday|weekofyear|year|yearweek)\s*\(",
    re.IGNORECASE,
)
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)")
_QUOTED = re.compile(r"'([^']*)'")


def depends_on_day(sql: str, params: Iterable[object]) -> bool:
    """Tell whether the query may have other rows on another day of the database's clock.

    What it cuts need not be the clock: then a job is refused after midnight for no reason.
    """
    sql = _NAMES.sub("", sql.replace("%%", "%")).replace(_NOW_OF_SQLITE, "CURRENT_TIMESTAMP")
    if _DAY.search(sql):
        return True
    has_clock = bool(_CLOCK.search(sql)) or any(
        isinstance(each, str) and each.strip().lower() == "now" for each in params
    )
    return has_clock and bool(_CUT.search(sql))


def read_days(
    sql: str, params: Iterable[object], connection: BaseDatabaseWrapper
) -> tuple[str, ...]:
    """Return the dates of now that the query may mean: of the session, and of each time zone."""
    names = {*_QUOTED.findall(sql), *(each for each in params if isinstance(each, str))}
    zones: list[tzinfo] = [UTC, timezone.get_current_timezone(), connection.timezone or UTC]
    for name in sorted(names):
        if match := _OFFSET.search(name):
            offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
            # PostgreSQL counts the other way round.
            zones += [fixed(offset), fixed(-offset)] if offset < timedelta(days=1) else []
        else:
            with suppress(OSError, ValueError, KeyError):
                zones.append(ZoneInfo(name))
    now = datetime.now(UTC)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT CURRENT_DATE{connection.features.bare_select_suffix}")
        (day,) = cursor.fetchone()
    return (str(day)[:10], *(now.astimezone(zone).date().isoformat() for zone in zones))

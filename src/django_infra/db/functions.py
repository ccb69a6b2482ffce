"""Ask the database what only it knows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateTimeField, Func
from django.db.models.functions import Now
from django.db.models.sql.compiler import SQLCompiler
from django.utils import timezone


class DatabaseTime(Func):
    """The database's clock, in UTC where the database lets us choose.

    Unlike ``Now()`` it does not depend on the time zone of a MySQL session. Compare it only with
    itself.
    """

    template = "CURRENT_TIMESTAMP"
    output_field = DateTimeField()

    def as_postgresql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra_context: Any
    ) -> tuple[str, Any]:
        # CURRENT_TIMESTAMP stands still within a transaction, however long that lasts.
        return self.as_sql(compiler, connection, template="CLOCK_TIMESTAMP()", **extra_context)

    def as_mysql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra_context: Any
    ) -> tuple[str, Any]:
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **extra_context)

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra_context: Any
    ) -> tuple[str, Any]:
        # The format of times as Django stores them, with each % doubled for two formattings.
        return self.as_sql(
            compiler,
            connection,
            template="STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f', 'NOW')",
            **extra_context,
        )


class DatabaseNow(Now):
    """The moment of the statement on the database's clock, as Django would have written it.

    Unlike ``Now()`` it does not depend on the time zone of a MySQL session, and may be compared
    with the moments of Python in any time zone of a connection.
    """

    def __init__(self, **extra: Any) -> None:
        super().__init__(**extra)
        # SQLite's clock is that of the process, and has milliseconds alone.
        self.moment = timezone.now()

    def as_mysql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra_context: Any
    ) -> tuple[str, Any]:
        seconds = _get_offset(connection).total_seconds()
        template = f"(UTC_TIMESTAMP(6) + INTERVAL {seconds:.0f} SECOND)"
        return self.as_sql(compiler, connection, template=template, **extra_context)

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra_context: Any
    ) -> tuple[str, Any]:
        return "%s", [connection.ops.adapt_datetimefield_value(self.moment)]


def _get_offset(connection: BaseDatabaseWrapper) -> timedelta:
    """Return how far the moments that the database holds are ahead of UTC."""
    if settings.USE_TZ:
        zone = connection.timezone
    else:
        zone = ZoneInfo(settings.TIME_ZONE) if settings.TIME_ZONE else None
    return datetime.now().astimezone(zone).utcoffset() or timedelta()

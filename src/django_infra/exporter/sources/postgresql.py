from __future__ import annotations

from contextlib import suppress

from django.db import Error

from django_infra.exporter.sources.base import Source


class PostgreSQLSource(Source):
    """Read through a server-side cursor.

    Outside of a transaction Django declares such a cursor WITH HOLD, for which the server writes
    the whole result to disk before the first row. Within one this holds behind pgbouncer too,
    so that DISABLE_SERVER_SIDE_CURSORS need not be asked.
    """

    needs_transaction = True

    def interrupt(self) -> None:
        # psycopg and psycopg2 both let another thread cancel.
        if raw := self.connection.connection:
            with suppress(Error, self.driver.Error):
                raw.cancel()

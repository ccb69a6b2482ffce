from __future__ import annotations

from contextlib import suppress

from django_infra.exporter.sources.base import Source


class SQLiteSource(Source):
    """Read through SQLite's own cursor, which computes rows as they are fetched."""

    def interrupt(self) -> None:
        if raw := self.connection.connection:
            with suppress(self.driver.Error):
                raw.interrupt()

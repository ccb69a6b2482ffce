from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from django.db import Error
from django.db.backends.mysql.base import CursorWrapper

from django_infra.exporter.sources.base import Source


class MySQLSource(Source):
    """Read through an unbuffered cursor, where Django's holds the whole result in memory."""

    # The server's name for the connection; a class attribute until there is one.
    _thread_id: int | None = None

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        with super().cursor() as cursor:
            try:
                yield cursor
            except BaseException:
                # Closing reads what is left of the result, so let there be nothing left.
                self.interrupt()
                raise

    def open_cursor(self) -> Any:
        connection: Any = self.connection
        self._note_thread_id()
        with connection.wrap_database_errors:
            cursor = CursorWrapper(connection.connection.cursor(self.driver.cursors.SSCursor))
        if connection.queries_logged:
            return connection.make_debug_cursor(cursor)
        return connection.make_cursor(cursor)

    def count(self) -> int:
        self._note_thread_id()
        return super().count()

    def interrupt(self) -> None:
        if self._thread_id is None:
            return
        with (
            suppress(Error),
            closing(self.connection.copy()) as other,
            other.cursor() as cursor,
        ):
            cursor.execute("KILL QUERY %s", [self._thread_id])

    def _note_thread_id(self) -> None:
        """Ask the server's name for the connection, which mysqlclient tells its own thread only."""
        self.connection.ensure_connection()
        self._thread_id = self.connection.connection.thread_id()

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from django.db import DataError, Error

from django_infra.exporter.exceptions import add_location
from django_infra.exporter.sources.base import Row, RowReader, Source


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

    def _read(self, cursor: Any, reader: RowReader) -> Iterator[Sequence[Row]]:
        try:
            yield from super()._read(cursor, reader)
        except DataError as error:
            if (cell := self._find_unknown_value(cursor)) is not None:
                row, position = cell
                add_location(
                    error,
                    row=reader.row_count + row + 1,
                    column=reader.get_header(position),
                )
            raise

    def _find_unknown_value(self, cursor: Any) -> tuple[int, int] | None:
        """Return row and position of a value that Python has no object for, such as 'infinity'.

        Only psycopg 3 shows the values that came; psycopg2 maps most of them to others.
        """
        if not (result := getattr(cursor, "pgresult", None)):
            return None
        for row in range(result.ntuples):
            for position in range(result.nfields):
                oid, value = result.ftype(position), result.get_value(row, position)
                loader = cursor.adapters.get_loader(oid, result.fformat(position))
                try:
                    if value is not None and loader is not None:
                        loader(oid, cursor.connection).load(value)
                except self.driver.DataError:
                    return row, position
        return None

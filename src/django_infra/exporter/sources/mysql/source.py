from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from itertools import islice
from typing import Any

from django.db import Error, OperationalError
from django.db.backends.mysql.base import CursorWrapper

from django_infra.exporter.sources.base import Plan, Reading, Source
from django_infra.exporter.sources.cell_sql import UnknownForm, can_put_forms
from django_infra.exporter.sources.mysql.cell_sql import OUT_OF_RANGE, Column, Server, get_form
from django_infra.exporter.sources.reader import Cells, Chunk, Row, RowReader
from django_infra.exporter.sources.sessions import MySQLSession
from django_infra.exporter.states import DataPath

# Seconds, instead of the server's 60, that it waits until somebody reads on: a chunk may have to
# wait for a disk, a pipe, or a function that watches.
WRITE_TIMEOUT = 3600


class MySQLSource(Source):
    """Read through an unbuffered cursor, where Django's holds the whole result in memory."""

    # The server's name for the connection, by which another one can stop it.
    _thread_id: int | None = None
    # The cursor whose rows are still to be read, and those that had to be read at once.
    _stream: Any = None
    _rest: Iterator[Row] | None = None

    @property
    def sets_for_statement(self) -> bool:
        """Whether the server takes settings that hold for one statement."""
        return bool(self.connection.mysql_is_mariadb)  # type: ignore[attr-defined]

    @contextmanager
    def run(self, plan: Plan) -> Iterator[Reading]:
        if self.sets_for_statement:
            sql = f"SET STATEMENT net_write_timeout = {WRITE_TIMEOUT} FOR {plan.sql}"
            with super().run(replace(plan, sql=sql)) as reading:
                yield reading
            return
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SET @exporter_write_timeout = @@SESSION.net_write_timeout,"
                f" SESSION net_write_timeout = {WRITE_TIMEOUT}"
            )
        try:
            with super().run(plan) as reading:
                yield reading
        finally:
            # A session that is lost has nothing to set back.
            with suppress(Error), self.connection.cursor() as cursor:
                cursor.execute("SET SESSION net_write_timeout = @exporter_write_timeout")

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        with super().cursor() as cursor:
            try:
                with self.connection.execute_wrapper(self._make_way):
                    yield cursor
            except BaseException:
                # Closing reads what is left of the result, so let there be nothing left.
                self.interrupt()
                raise
            finally:
                self._stream = None

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
            # Connecting may have taken so long that another statement is running by now.
            if not self.has_ended:
                cursor.execute("KILL QUERY %s", [self._thread_id])

    def add_forms(self, plan: Plan, cells: Cells) -> Plan:
        connection: Any = self.connection
        # A project's own conversions may make anything of a type.
        if "conv" in connection.settings_dict["OPTIONS"] or not can_put_forms(plan.compiler):
            return plan
        server = Server(connection.mysql_is_mariadb, self.get_datetime_suffix())
        forms = {
            position: form
            for position, column in self._describe(plan).items()
            if (form := get_form(column, server))
        }
        return self.put_forms(plan, forms, DataPath.SQL)

    def _describe(self, plan: Plan) -> Mapping[int, Column]:
        """Ask the server for the types of the columns; the query does not run."""
        query = self.selection.copy_query()
        query.clear_limits()
        query.clear_ordering(force=True)
        sql, params = query.get_compiler(self.connection.alias).as_sql()
        with self.connection.cursor() as cursor:
            cursor.execute(f"{sql}\nLIMIT 0", params)
            described = cursor.description
        return {
            position: Column(
                type_code=described[position][1],
                scale=described[position][5],
                conversion=plan.reader.get_conversion(position),
            )
            for position in plan.reader.positions
        }

    def _note_thread_id(self) -> None:
        """Ask for the id here, since mysqlclient tells it to the connection's own thread only."""
        self.connection.ensure_connection()
        thread_id: int = self.connection.connection.thread_id()
        self._thread_id, self.session = thread_id, MySQLSession(thread_id)

    def _read(self, cursor: Any, reader: RowReader) -> Iterator[Chunk]:
        self._stream = cursor
        try:
            while rows := self._fetch(cursor):
                yield reader.read(rows)
        except OperationalError as error:
            if reader.forms and error.args[0] == OUT_OF_RANGE:
                raise UnknownForm(str(error)) from error
            raise

    def _fetch(self, cursor: Any) -> Sequence[Row]:
        if self._rest is not None:
            return tuple(islice(self._rest, self.fetch_size))
        rows: Sequence[Row] = cursor.fetchmany(self.fetch_size)
        return rows

    def _make_way(self, execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        """Read the rest of the rows before a converter's own query, which would lose them."""
        if self._stream is not None and self._rest is None:
            self._rest = iter(self._stream.fetchall())
        return execute(sql, params, many, context)

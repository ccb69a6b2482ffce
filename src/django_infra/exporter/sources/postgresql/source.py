from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from django.db import DataError, Error
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from django.db.models.sql import Query

from django_infra.db.transaction import is_in_transaction
from django_infra.exporter.exceptions import add_location
from django_infra.exporter.sources.base import Plan, Reading, Source, WriteLines
from django_infra.exporter.sources.cell_sql import PLAIN, Form, UnknownForm
from django_infra.exporter.sources.postgresql.cell_sql import (
    MARKER,
    TEXT,
    TEXTS,
    Column,
    Session,
    get_form,
)
from django_infra.exporter.sources.reader import Cells, Chunk, RowReader
from django_infra.exporter.sources.sessions import PostgreSQLSession, make_postgresql_array
from django_infra.exporter.states import DataPath

MAX_COLUMNS = 1600  # of the 1664 that a SELECT may have

LINES_BYTES = 256 << 10  # handed on at a time, unless a line has more


class Lines:
    """Hand on the lines that COPY sends, one in each message, without their ends."""

    def __init__(self, source: Source, write_lines: WriteLines) -> None:
        self.source = source
        self.write_lines = write_lines
        self.lines: list[bytes | memoryview] = []
        self.size = 0

    def take(self, messages: Iterator[bytes | memoryview]) -> None:
        """Take all messages, which is faster than one by one."""
        while True:
            lines, size = self.lines, 0
            for message in islice(messages, self.source.fetch_size):
                if len(message) > LINES_BYTES:
                    self._write_large(message)
                    break
                lines.append(message[:-1])
                size += len(message)
                if size > LINES_BYTES:
                    break
            else:
                if not lines:
                    return
            self.flush()

    def write(self, message: bytes) -> None:
        """Take one message, as a file does."""
        if len(message) > LINES_BYTES:
            self._write_large(message)
            return
        self.lines.append(message[:-1])
        self.size += len(message)
        if len(self.lines) >= self.source.fetch_size or self.size > LINES_BYTES:
            self.flush()

    def flush(self) -> None:
        if self.lines:
            lines, self.lines, self.size = self.lines, [], 0
            self.write_lines(lines)

    def _write_large(self, message: bytes | memoryview) -> None:
        """Hand on a line without a copy of it."""
        self.flush()
        self.write_lines([memoryview(message)[:-1]])


class PostgreSQLSource(Source):
    """Read by COPY where the server can make all cells, and else through a server-side cursor.

    Outside of a transaction Django declares such a cursor WITH HOLD, for which the server writes
    the whole result to disk before the first row. Within one both hold behind pgbouncer too,
    so that DISABLE_SERVER_SIDE_CURSORS need not be asked.
    """

    needs_transaction = True

    session: PostgreSQLSession | None = None

    # Does the transaction end with the reading?
    _is_own_transaction = False

    def interrupt(self) -> None:
        # psycopg and psycopg2 both let another thread cancel. Where psycopg 3 has another way, the
        # old one stops the whole process until the server has answered.
        if raw := self.connection.connection:
            with suppress(Error, self.driver.Error):
                getattr(raw, "cancel_safe", raw.cancel)()

    def note_session(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT {make_postgresql_array()}")
            self.session = PostgreSQLSession(cursor.fetchone()[0])

    def add_forms(self, plan: Plan, cells: Cells) -> Plan:
        if plan.reader.width >= MAX_COLUMNS:
            return plan
        columns, session = self._describe(plan)
        forms = {
            position: form
            for position, column in columns.items()
            if (form := get_form(column, session, cells.escape_formulas))
        }
        reader = plan.reader.with_forms({position: Form(sql) for position, sql in forms.items()})
        if reader.unformed == plan.reader.unformed:
            return plan
        if self._can_copy(columns, session, reader, cells):
            return self._plan_copy(plan, reader)
        # What Python gets at any rate, it makes cheaper.
        texts = [position for position in forms if columns[position].oid in TEXTS]
        forms |= dict.fromkeys(texts, PLAIN)
        formed = dict.fromkeys(texts, Form(read=cells.format_cells))
        reader = plan.reader.with_forms({**reader.forms, **formed})
        names = [f"c{position}" for position in range(plan.reader.width)]
        selected = [
            f"({forms[position].format(name)})::text" if position in forms else name
            for position, name in enumerate(names)
        ]
        sql = _select_from(plan.sql, names, selected)
        return replace(plan, sql=sql, reader=reader, path=DataPath.SQL)

    @contextmanager
    def _transaction(self, query: Query) -> Iterator[None]:
        # Before that, one without autocommit looks as if it were in no transaction.
        self.connection.ensure_connection()
        self._is_own_transaction = not is_in_transaction(self.connection.alias)
        with super()._transaction(query):
            yield

    def _describe(self, plan: Plan) -> tuple[Mapping[int, Column], Session]:
        """Ask the server for its settings and the types of the columns; the query does not run.

        Forms make a query look so dear that the server would compile it, for longer than it
        takes to send the first rows. That ends with the transaction, so it must be ours.
        """
        no_compiler = "set_config('jit', 'off', true)" if self._is_own_transaction else "''"
        settings = ", ".join(f"current_setting('{name}')" for name in Session.SETTINGS)
        sql = (
            f"SELECT ARRAY[{settings}, {no_compiler}], {make_postgresql_array()}, query.*"
            f" FROM (SELECT) AS nothing LEFT JOIN ({plan.sql}\n) AS query ON FALSE"
        )
        with self.connection.cursor() as cursor:
            cursor.execute(sql, plan.params)
            (style, digits, encoding, time_limit, zone, _), values, *_ = cursor.fetchone()
            described = cursor.description[2:]
            self.session = PostgreSQLSession(values)
            columns = {
                position: Column(
                    oid=described[position].type_code,
                    scale=described[position].scale,
                    loader=self._name_loader(cursor, described[position].type_code),
                    conversion=plan.reader.get_conversion(position),
                )
                for position in plan.reader.positions
            }
            text_loader = self._name_loader(cursor, TEXT)
        is_in_utc = self.get_datetime_suffix() == "+00:00"
        session = Session(style, digits, encoding, time_limit, zone, text_loader, is_in_utc)
        return columns, session

    def _name_loader(self, cursor: Any, oid: int) -> str:
        """Return the name of what loads the type, or '?' if that is a project's own."""
        if is_psycopg3:
            loader = cursor.adapters.get_loader(oid, self.driver.pq.Format.TEXT)
            module = getattr(loader, "__module__", "")
            return loader.__name__ if module.startswith(("psycopg", "django.db.")) else "?"
        types = cursor.connection.string_types
        loader = types.get(oid) or self.driver.extensions.string_types.get(oid)
        if loader is None:
            return ""
        # Django registers one for UUIDs.
        is_known = loader.name == "UUID" or loader is vars(self.driver._psycopg).get(loader.name)
        return loader.name if is_known else "?"

    def _can_copy(
        self, columns: Mapping[int, Column], session: Session, reader: RowReader, cells: Cells
    ) -> bool:
        """Tell whether each line can be made by the server.

        A text that is alone on its line COPY quotes by rules of its own. Parameters that the
        server would bind cannot go into its statement, whose time is that of the whole export,
        and which no wrapper of Django's sees.
        """
        features: Any = self.connection.features
        positions = reader.positions
        is_lone_text = len(positions) == 1 and columns[positions[0]].oid in TEXTS
        return (
            cells.takes_csv
            and not reader.unformed
            and not session.has_time_limit
            and not is_lone_text
            and not features.uses_server_side_binding
            and not self.connection.execute_wrappers
        )

    def _plan_copy(self, plan: Plan, reader: RowReader) -> Plan:
        names = [f"c{position}" for position in range(reader.width)]
        selected = [
            reader.forms[position].sql.format(names[position]) for position in reader.positions
        ]
        if len(selected) == 1:
            # A line with nothing on it would be no row.
            selected = [f"COALESCE(({selected[0]})::text, '')"]
        operations: Any = self.connection.ops
        inner = operations.compose_sql(plan.sql, plan.params)
        sql = _select_from(inner, names, selected)
        return replace(
            plan,
            sql=f"COPY ({sql}) TO STDOUT WITH (FORMAT csv, ENCODING 'UTF8')",
            params=(),
            reader=reader,
            path=DataPath.COPY,
        )

    @contextmanager
    def run(self, plan: Plan) -> Iterator[Reading]:
        if plan.path != DataPath.COPY:
            with super().run(plan) as reading:
                yield reading
            return
        yield Reading(plan.path, copy=partial(self._copy, plan))

    def _copy(self, plan: Plan, write_lines: WriteLines) -> None:
        lines = Lines(self, write_lines)
        copy = self._copy_psycopg if is_psycopg3 else self._copy_psycopg2
        try:
            with self.connection.wrap_database_errors, self.connection.cursor() as cursor:
                copy(cursor, plan.sql, lines)
        except DataError as error:
            _tell_unknown_form(error, plan.reader)
            raise

    def _copy_psycopg(self, cursor: Any, sql: str, lines: Lines) -> None:
        with cursor.copy(sql) as copy:
            lines.take(iter(copy))

    def _copy_psycopg2(self, cursor: Any, sql: str, lines: Lines) -> None:
        try:
            cursor.copy_expert(sql, lines)
            lines.flush()
        except BaseException as error:
            if self.connection.connection.closed:
                # A server that is away answers no cancel, which would stop the whole process.
                if isinstance(error, self.driver.Error):
                    raise self.driver.OperationalError(str(error)) from error
                raise
            # The next statement reads what is left of the result, so let there be nothing left.
            self.interrupt()
            raise

    def _read(self, cursor: Any, reader: RowReader) -> Iterator[Chunk]:
        try:
            yield from super()._read(cursor, reader)
        except DataError as error:
            _tell_unknown_form(error, reader)
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


def _select_from(inner: str, names: Sequence[str], selected: Sequence[str]) -> str:
    """Return a query over the columns of another one.

    OFFSET 0 keeps the server from computing a column as often as it is mentioned.
    """
    return (
        f"SELECT {', '.join(selected)} FROM"
        f" (SELECT * FROM ({inner}\n) AS inside OFFSET 0) AS query ({', '.join(names)})"
    )


def _tell_unknown_form(error: DataError, reader: RowReader) -> None:
    """Raise UnknownForm if a form has refused a value."""
    if reader.forms and MARKER in str(error):
        raise UnknownForm(str(error)) from error

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeAlias

from django.conf import settings
from django.core.exceptions import EmptyResultSet
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.query import ValuesListIterable
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLCompiler

from django_infra.db.transaction import is_in_transaction, keep_transaction
from django_infra.exporter.columns import Selection
from django_infra.exporter.sources.cell_sql import (
    PLAIN,
    Form,
    can_put_forms,
    get_ordering_indexes,
    put_forms,
)
from django_infra.exporter.sources.reader import Cells, Chunk, RowReader, format_column
from django_infra.exporter.sources.sessions import Session
from django_infra.exporter.states import DataPath

# Takes the lines of rows, without their ends.
WriteLines: TypeAlias = Callable[[Sequence[bytes | memoryview]], None]

CHUNK_BYTES = 2 << 20  # of the file: rows of large cells are fetched fewer at a time
CHUNK_SECONDS = 1.0  # so are rows that take longer


@dataclass(frozen=True)
class Plan:
    """A statement, the way of its data, and the reader of its rows."""

    sql: str
    params: Sequence[Any]
    compiler: SQLCompiler
    reader: RowReader
    path: DataPath = DataPath.PYTHON


class Reading:
    """A query that runs: its chunks, or ``copy``, which hands its lines to a function.

    A chunk is a sequence of rows, or of columns of text where ``cells`` were asked for.
    """

    def __init__(
        self,
        path: DataPath,
        chunks: Iterable[Chunk] = (),
        *,
        unformed: Sequence[str] = (),
        copy: Callable[[WriteLines], None] | None = None,
    ) -> None:
        self.path = path
        self.chunks = chunks
        self.unformed = unformed
        self.copy = copy

    def __iter__(self) -> Iterator[Chunk]:
        return iter(self.chunks)


class Source:
    """Read the rows of a selection in chunks, from any database that Django knows.

    A source belongs to the thread that made it, as its connection does.
    """

    # Do rows arrive one chunk at a time only within a transaction?
    needs_transaction = False

    # What another connection needs to find the same rows, once that is known.
    session: Session | None = Session()

    # Has the reading ended, so that nothing is to be interrupted any more?
    has_ended = False

    def __init__(self, selection: Selection, *, chunk_size: int) -> None:
        self.selection = selection
        self.chunk_size = chunk_size
        self.fetch_size = 1
        self._paced_at = time.monotonic()
        self.connection: BaseDatabaseWrapper = connections[selection.queryset.db]
        self.driver: Any = self.connection.Database  # type: ignore[attr-defined]

    @contextmanager
    def open(self, cells: Cells | None = None, *, may_use_forms: bool = True) -> Iterator[Reading]:
        """Run the query and give its rows, with the values that ``values_list()`` gives.

        With ``cells`` it gives columns of the texts that these make of the values. It may take
        shorter ways to the same texts, which raise UnknownForm for a value beyond them.
        """
        query = self.selection.copy_query()
        with self._transaction(query):
            if self.selection.queryset._iterable_class is not ValuesListIterable:
                yield Reading(DataPath.PYTHON, self._read_own_rows(query, cells))
                return
            try:
                plan = self.plan(query, cells)
                may_use_forms = may_use_forms and not self.locks_rows(query)
                if cells is not None and cells.takes_forms and may_use_forms:
                    plan = self.add_forms(plan, cells)
            except EmptyResultSet:
                yield Reading(DataPath.PYTHON)
                return
            with self.run(plan) as reading:
                yield reading

    def plan(self, query: Query, cells: Cells | None) -> Plan:
        """Return the plan that makes every value."""
        compiler = query.get_compiler(self.connection.alias)
        sql, params = compiler.as_sql()
        return Plan(sql, params, compiler, RowReader(self.selection, compiler, cells))

    def add_forms(self, plan: Plan, cells: Cells) -> Plan:
        """Return a plan for the same cells with shorter ways for what columns have them."""
        return plan

    def put_forms(
        self, plan: Plan, forms: Mapping[int, Form], path: DataPath = DataPath.PYTHON
    ) -> Plan:
        """Return the plan with all forms that change nothing but what is shown of a row."""
        reader = plan.reader
        selected = {}
        if can_put_forms(plan.compiler):
            named = get_ordering_indexes(plan.compiler)
            selected = {
                reader.indexes[position]: form.sql
                for position, form in forms.items()
                if form.sql != PLAIN and reader.indexes[position] not in named
            }
        reader = reader.with_forms(
            {
                position: form
                for position, form in forms.items()
                if form.sql == PLAIN or reader.indexes[position] in selected
            }
        )
        if not selected:
            return replace(plan, reader=reader)
        compiler = self.selection.copy_query().get_compiler(self.connection.alias)
        put_forms(compiler, selected)
        sql, params = compiler.as_sql()
        return Plan(sql, params, compiler, reader, path)

    @contextmanager
    def run(self, plan: Plan) -> Iterator[Reading]:
        with self.cursor() as cursor:
            cursor.execute(plan.sql, plan.params)
            chunks = self._read(cursor, plan.reader)
            yield Reading(plan.path, chunks, unformed=plan.reader.unformed)

    def get_datetime_suffix(self) -> str | None:
        """Return what Django's datetimes print after what the database holds in UTC.

        None if they are in another time zone.
        """
        if not settings.USE_TZ:
            return ""
        return "+00:00" if self.connection.timezone_name == "UTC" else None

    def pace(self, *, rows: int, size: int) -> None:
        """Choose how many rows to fetch next, from what the last ones took.

        That is the bytes that they became, and the time since the last call: between two chunks
        an export can be told to stop.
        """
        now = time.monotonic()
        seconds, self._paced_at = now - self._paced_at, now
        affordable = CHUNK_BYTES * rows // max(size, 1)
        if seconds > CHUNK_SECONDS:
            next_size = int(self.fetch_size * CHUNK_SECONDS / seconds)
        else:
            # More slowly where the time may be that of the rows, and not of the way to them.
            next_size = self.fetch_size * (10 if seconds < CHUNK_SECONDS / 10 else 2)
        self.fetch_size = max(1, min(self.chunk_size, next_size, affordable))

    def count(self) -> int:
        """Count the rows by a query of its own."""
        return self.selection.copy_query().get_count(using=self.connection.alias)

    def note_session(self) -> None:
        """Learn the session between two chunks, where nothing has told it before."""

    def interrupt(self) -> None:
        """Stop, from any thread, the statement that runs on this source's connection.

        Does nothing for databases that are not known: the statement then ends by itself.
        """

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """Give a cursor that does not hold the whole result, and close it."""
        cursor = self.open_cursor()
        try:
            yield cursor
        except BaseException:
            # The connection may be gone, which drivers take in many ways; the first error counts.
            with suppress(Exception):
                cursor.close()
            raise
        cursor.close()

    def open_cursor(self) -> Any:
        return self.connection.chunked_cursor()

    @contextmanager
    def _transaction(self, query: Query) -> Iterator[None]:
        """Keep an error from breaking the caller's transaction, or the next user's connection."""
        connection = self.connection
        if self.needs_transaction or self.locks_rows(query):
            with transaction.atomic(using=connection.alias):
                yield
            return
        try:
            with keep_transaction(connection.alias):
                yield
        except BaseException:
            self._drop_lost_connection()
            raise

    def locks_rows(self, query: Query) -> bool:
        return query.select_for_update and self.connection.features.has_select_for_update

    def _drop_lost_connection(self) -> None:
        """Let the next query of this thread connect anew."""
        connection = self.connection
        is_open = connection.connection is not None
        if is_open and not is_in_transaction(connection.alias) and not connection.is_usable():
            connection.close()

    def _read_own_rows(self, query: Query, cells: Cells | None) -> Iterator[Chunk]:
        """Read what a queryset's own ``values_list()`` makes of the rows, through Django."""
        # Setting the query of a queryset resets this.
        iterable_class: Any = self.selection.queryset._iterable_class
        queryset = self.selection.queryset.all()
        queryset.query = query
        rows = iter(iterable_class(queryset, chunked_fetch=True, chunk_size=self.chunk_size))
        headers = [column.header for column in self.selection.columns]
        row_count = 0
        while chunk := list(islice(rows, self.fetch_size)):
            columns = [[row[position] for row in chunk] for position in self.selection.positions]
            if cells is None:
                yield list(zip(*columns, strict=True))
            else:
                yield [
                    format_column(cells, column, header, rows_before=row_count)
                    for header, column in zip(headers, columns, strict=True)
                ]
            row_count += len(chunk)

    def _read(self, cursor: Any, reader: RowReader) -> Iterator[Chunk]:
        while rows := cursor.fetchmany(self.fetch_size):
            yield reader.read(rows)

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import ColPairs
from django.db.models.query import ValuesListIterable
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLCompiler

from django_infra.db.transaction import is_in_transaction, keep_transaction
from django_infra.exporter.columns import Selection
from django_infra.exporter.exceptions import ExporterError, add_location

Row = tuple[Any, ...]

CHUNK_BYTES = 2 << 20  # of the file: rows of large cells are fetched fewer at a time


class Source:
    """Read the rows of a selection in chunks, from any database that Django knows.

    A source belongs to the thread that made it, as its connection does.
    """

    # Do rows arrive one chunk at a time only within a transaction?
    needs_transaction = False

    def __init__(self, selection: Selection, *, chunk_size: int) -> None:
        self.selection = selection
        self.chunk_size = chunk_size
        self.fetch_size = 1
        self.connection: BaseDatabaseWrapper = connections[selection.queryset.db]
        self.driver: Any = self.connection.Database  # type: ignore[attr-defined]

    @contextmanager
    def open(self) -> Iterator[Iterator[Sequence[Row]]]:
        """Run the query and give its rows, with the values that ``values_list()`` gives."""
        query = self.selection.copy_query()
        with self._transaction(query):
            if self.selection.queryset._iterable_class is not ValuesListIterable:
                yield self._read_own_rows(query)
                return
            compiler = query.get_compiler(self.connection.alias)
            try:
                statement = compiler.as_sql()
            except EmptyResultSet:
                yield iter(())
                return
            with self.cursor() as cursor:
                cursor.execute(*statement)
                yield self._read(cursor, RowReader(self.selection, compiler))

    def pace(self, *, rows: int, size: int) -> None:
        """Choose how many rows to fetch next, from the bytes that the last ones became."""
        affordable = CHUNK_BYTES * rows // max(size, 1)
        self.fetch_size = max(1, min(self.chunk_size, self.fetch_size * 10, affordable))

    def count(self) -> int:
        """Count the rows by a query of its own."""
        return self.selection.copy_query().get_count(using=self.connection.alias)

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
        locks_rows = query.select_for_update and connection.features.has_select_for_update
        if self.needs_transaction or locks_rows:
            with transaction.atomic(using=connection.alias):
                yield
            return
        try:
            with keep_transaction(connection.alias):
                yield
        except BaseException:
            self._drop_lost_connection()
            raise

    def _drop_lost_connection(self) -> None:
        """Let the next query of this thread connect anew."""
        connection = self.connection
        is_open = connection.connection is not None
        if is_open and not is_in_transaction(connection.alias) and not connection.is_usable():
            connection.close()

    def _read_own_rows(self, query: Query) -> Iterator[Sequence[Row]]:
        """Read what a queryset's own ``values_list()`` makes of the rows, through Django."""
        # Setting the query of a queryset resets this.
        iterable_class: Any = self.selection.queryset._iterable_class
        queryset = self.selection.queryset.all()
        queryset.query = query
        rows = iter(iterable_class(queryset, chunked_fetch=True, chunk_size=self.chunk_size))
        positions = self.selection.positions
        while chunk := list(islice(rows, self.fetch_size)):
            yield [tuple(row[position] for position in positions) for row in chunk]

    def _read(self, cursor: Any, reader: RowReader) -> Iterator[Sequence[Row]]:
        while rows := cursor.fetchmany(self.fetch_size):
            yield reader.read(rows)


class RowReader:
    """Turn a cursor's rows into those that ``values_list()`` gives, column by column.

    It does what the compiler's ``results_iter()`` does, but can tell which cell failed.
    """

    def __init__(self, selection: Selection, compiler: SQLCompiler) -> None:
        expressions = [expression for expression, _, _ in compiler.select]
        self.connection = compiler.connection
        self.converters = compiler.get_converters(expressions)
        self.headers = [column.header for column in selection.columns]
        spans = list(_get_spans(expressions))
        self.spans = [spans[position] for position in selection.positions]
        self.width = sum(len(span) if isinstance(span, range) else 1 for span in spans)
        self.row_count = 0

    def read(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return the columns of the selection, leaving out those that only serve the ordering."""
        raw = list(zip(*rows, strict=True))
        if len(raw) < self.width:
            raise ExporterError(
                f"The query returned rows of {len(raw)} columns where {self.width} were selected, "
                "so that none of them can be trusted."
            )
        columns: list[Sequence[Any]] = []
        for header, span in zip(self.headers, self.spans, strict=True):
            if isinstance(span, int):
                columns.append(self._convert(raw[span], span, header))
            else:
                parts = [self._convert(raw[position], position, header) for position in span]
                columns.append(list(zip(*parts, strict=True)))
        self.row_count += len(rows)
        return list(zip(*columns, strict=True))

    def get_header(self, position: int) -> str:
        """Return the header of the column that holds the position of a cursor's row."""
        for header, span in zip(self.headers, self.spans, strict=True):
            if span == position or (isinstance(span, range) and position in span):
                return header
        return ""

    def _convert(self, values: Sequence[Any], position: int, header: str) -> Sequence[Any]:
        if position not in self.converters:
            return values
        converters, expression = self.converters[position]
        for converter in converters:
            converted: list[Any] = []
            try:
                for value in values:
                    converted.append(converter(value, expression, self.connection))
            except Exception as error:
                add_location(error, row=self.row_count + len(converted) + 1, column=header)
                raise
            values = converted
        return values


def _get_spans(expressions: Sequence[Any]) -> Iterator[int | range]:
    """Yield where each expression stands in a row; a composite primary key spans columns."""
    start = 0
    for expression in expressions:
        if isinstance(expression, ColPairs):
            yield range(start, start + len(expression))
            start += len(expression)
        else:
            yield start
            start += 1

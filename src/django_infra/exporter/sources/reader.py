from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from typing import Any, Protocol, Self, TypeAlias

from django.db.models.expressions import ColPairs
from django.db.models.sql.compiler import SQLCompiler

from django_infra.exporter.columns import Selection
from django_infra.exporter.exceptions import ExporterError, add_location
from django_infra.exporter.sources.cell_sql import Conversion, Form, describe_conversion

Row: TypeAlias = tuple[Any, ...]
Chunk: TypeAlias = Sequence[Sequence[Any]]


class Cells(Protocol):
    """What a source needs to know of a writer whose cells are texts."""

    @property
    def escape_formulas(self) -> bool: ...

    @property
    def takes_forms(self) -> bool: ...

    @property
    def takes_csv(self) -> bool: ...

    def format_cells(self, values: Sequence[Any], /) -> Sequence[str | None]: ...


class RowReader:
    """Turn a cursor's rows into those that ``values_list()`` gives, column by column.

    It does what the compiler's ``results_iter()`` does, but can tell which cell failed. With
    ``cells`` it returns columns of text instead of rows, those that have a form in its way.
    """

    def __init__(
        self,
        selection: Selection,
        compiler: SQLCompiler,
        cells: Cells | None = None,
    ) -> None:
        self.expressions = expressions = [expression for expression, _, _ in compiler.select]
        self.connection = compiler.connection
        self.converters = compiler.get_converters(expressions)
        self.cells = cells
        self.forms: Mapping[int, Form] = {}
        self.headers = [column.header for column in selection.columns]
        spans = list(_get_spans(expressions))
        self.spans = [spans[position] for position in selection.positions]
        # Which expression each single value is of.
        self.indexes = {span: at for at, span in enumerate(spans) if isinstance(span, int)}
        self.width = sum(len(span) if isinstance(span, range) else 1 for span in spans)
        self.row_count = 0

    def read(self, rows: Sequence[Row]) -> Chunk:
        """Return the columns of the selection, leaving out those that only serve the ordering."""
        raw = list(zip(*rows, strict=True))
        if len(raw) < self.width:
            raise ExporterError(
                f"The query returned rows of {len(raw)} columns where {self.width} were selected, "
                "so that none of them can be trusted."
            )
        columns = [
            self._read_column(raw, span, header)
            for header, span in zip(self.headers, self.spans, strict=True)
        ]
        self.row_count += len(rows)
        return columns if self.cells else list(zip(*columns, strict=True))

    def with_forms(self, forms: Mapping[int, Form]) -> Self:
        """Return a reader of the same columns, some of which come in another form."""
        reader = copy(self)
        reader.forms = forms
        return reader

    @property
    def positions(self) -> Sequence[int]:
        """Where the columns of a single value stand in a row of the cursor."""
        return [span for span in self.spans if isinstance(span, int)]

    def get_conversion(self, position: int) -> Conversion:
        """Return what Django does to the single value that stands there."""
        converters, _ = self.converters.get(position, ((), None))
        return describe_conversion(self.expressions[self.indexes[position]], converters)

    @property
    def unformed(self) -> Sequence[str]:
        """Headers of the columns whose cells are made of their values."""
        return [
            header
            for header, span in zip(self.headers, self.spans, strict=True)
            if span not in self.forms
        ]

    def get_header(self, position: int) -> str:
        """Return the header of the column that holds the position of a cursor's row."""
        for header, span in zip(self.headers, self.spans, strict=True):
            if span == position or (isinstance(span, range) and position in span):
                return header
        return ""

    def _read_column(self, raw: Sequence[Row], span: int | range, header: str) -> Sequence[Any]:
        if isinstance(span, int):
            form = self.forms.get(span)
            if form is not None and (cells := form.read(raw[span])) is not None:
                return cells
            values = self._convert(raw[span], span, header)
        else:
            parts = [self._convert(raw[position], position, header) for position in span]
            values = list(zip(*parts, strict=True))
        if self.cells is None:
            return values
        return format_column(self.cells, values, header, rows_before=self.row_count)

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


def format_column(
    cells: Cells, values: Sequence[Any], header: str, *, rows_before: int
) -> Sequence[str | None]:
    """Return the cells of a column; an error notes the first value that fails by itself."""
    try:
        return cells.format_cells(values)
    except Exception as error:
        for number, value in enumerate(values, start=rows_before + 1):
            try:
                cells.format_cells([value])
            except Exception:
                add_location(error, row=number, column=header)
                break
        raise


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

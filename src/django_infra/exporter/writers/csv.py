from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from django_infra.exporter.conf import conf
from django_infra.exporter.exceptions import add_location
from django_infra.exporter.writers.base import Rows, Writer, WriteRows
from django_infra.exporter.writers.cells import format_column

LARGE_CELL = 1 << 20  # characters


class CSVWriter(Writer):
    """Write RFC 4180 CSV: the bytes of ``csv.writer`` in UTF-8, with a header row."""

    content_type = "text/csv"
    dialect: type[csv.Dialect] = csv.excel

    def __init__(self, *, escape_formulas: bool | None = None) -> None:
        if escape_formulas is None:
            escape_formulas = conf.escape_formulas
        if not isinstance(escape_formulas, bool):
            raise ValueError(f"escape_formulas must be True or False, not {escape_formulas!r}.")
        self.escape_formulas = escape_formulas

    @contextmanager
    def open(self, file: BinaryIO, headers: Sequence[str]) -> Iterator[WriteRows]:
        row_count = 0

        def write_rows(rows: Rows) -> None:
            nonlocal row_count
            try:
                file.writelines(self._encode(rows))
            except Exception as error:
                self._locate(error, rows, headers, row_count)
                raise
            row_count += len(rows)

        file.writelines(self._encode([headers]))
        yield write_rows

    @property
    def _can_split_cells(self) -> bool:
        """Tell whether ``_quote()`` knows the rules of the dialect."""
        dialect = self.dialect
        is_minimal = dialect.quoting == csv.QUOTE_MINIMAL and dialect.doublequote
        return bool(is_minimal and dialect.quotechar and dialect.escapechar is None)

    def _encode(self, rows: Rows) -> Iterator[bytes]:
        columns = [
            format_column(column, escape_formulas=self.escape_formulas)
            for column in zip(*rows, strict=True)
        ]
        lines = zip(*columns, strict=True)
        if self._can_split_cells and any(map(_has_large_cell, columns)):
            for line in lines:
                yield from self._encode_large(line)
        else:
            yield self._format(lines).encode()

    def _format(self, lines: Iterable[Sequence[Any]]) -> str:
        text = io.StringIO(newline="")
        csv.writer(text, self.dialect).writerows(lines)
        return text.getvalue()

    def _encode_large(self, line: Sequence[Any]) -> Iterator[bytes]:
        """Yield a line in pieces: csv.writer needs several times the memory of a cell."""
        if not _has_large_cell(line):
            yield self._format([line]).encode()
            return
        delimiter, end = self.dialect.delimiter, self.dialect.lineterminator
        for position, cell in enumerate(line):
            if position:
                yield delimiter.encode()
            if _has_large_cell([cell]):
                yield from self._quote(cell)
            else:
                # Beside another cell, so that an empty one is not quoted for being alone.
                yield self._format([[cell, None]]).removesuffix(delimiter + end).encode()
        yield end.encode()

    def _quote(self, cell: str) -> Iterator[bytes]:
        """Yield a text as csv.QUOTE_MINIMAL writes it."""
        quote = self.dialect.quotechar or ""
        is_quoted = any(special in cell for special in (self.dialect.delimiter, quote, "\r", "\n"))
        if is_quoted:
            yield quote.encode()
        for start in range(0, len(cell), LARGE_CELL):
            piece = cell[start : start + LARGE_CELL]
            yield piece.replace(quote, quote * 2).encode()
        if is_quoted:
            yield quote.encode()

    def _locate(
        self, error: Exception, rows: Rows, headers: Sequence[str], rows_before: int
    ) -> None:
        """Note on the error the first cell that fails by itself."""
        for number, row in enumerate(rows, start=rows_before + 1):
            for header, cell in zip(headers, row, strict=True):
                try:
                    for _ in self._encode([[cell]]):
                        pass
                except Exception:
                    add_location(error, row=number, column=header)
                    return


def _has_large_cell(cells: Sequence[Any]) -> bool:
    try:
        return max(map(len, cells), default=0) > LARGE_CELL
    except TypeError:
        return any(isinstance(cell, str) and len(cell) > LARGE_CELL for cell in cells)

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from django_infra.exporter.conf import conf
from django_infra.exporter.exceptions import add_location
from django_infra.exporter.writers.base import Rows, TextFile, TextWriter, WriteRows
from django_infra.exporter.writers.cells import format_column, format_texts
from django_infra.exporter.writers.forms import FormulasForm
from django_infra.exporter.writers.lines import (
    GUARDED_SPECIALS,
    Line,
    LineEncoder,
    end_lines,
    guard_lines,
    needs_guard,
)

_OPENINGS = ("open", "open_text")


class CSVWriter(TextWriter):
    """Write RFC 4180 CSV: the bytes of ``csv.writer`` in UTF-8, with a header row."""

    content_type = "text/csv; charset=utf-8"
    options_form = FormulasForm
    dialect: type[csv.Dialect] = csv.excel

    def __init__(self, *, escape_formulas: bool | None = None) -> None:
        if escape_formulas is None:
            escape_formulas = conf.escape_formulas
        if not isinstance(escape_formulas, bool):
            raise ValueError(f"escape_formulas must be True or False, not {escape_formulas!r}.")
        self.escape_formulas = escape_formulas

    @property
    def takes_text(self) -> bool:
        """Whether the dialect is known, and no subclass has an ``open()`` of its own."""
        definer = next(
            each for each in type(self).__mro__ if not vars(each).keys().isdisjoint(_OPENINGS)
        )
        return LineEncoder.knows(self.dialect) and "open_text" in vars(definer)

    @property
    def takes_forms(self) -> bool:
        return type(self).format_cells is CSVWriter.format_cells

    @property
    def takes_csv(self) -> bool:
        return self.takes_forms and self.takes_text and self.dialect is csv.excel

    def format_cells(self, values: Sequence[Any]) -> Sequence[str | None]:
        return format_texts(values, escape_formulas=self.escape_formulas)

    @contextmanager
    def open(self, file: BinaryIO, headers: Sequence[str]) -> Iterator[WriteRows]:
        encode = self._encode_texts if LineEncoder.knows(self.dialect) else self._encode_values
        row_count = 0

        def write_rows(rows: Rows) -> None:
            nonlocal row_count
            try:
                file.writelines(encode(rows))
            except Exception as error:
                _locate(error, encode, rows, headers, row_count)
                raise
            row_count += len(rows)

        file.writelines(encode([headers]))
        yield write_rows

    @contextmanager
    def open_text(self, file: BinaryIO, headers: Sequence[str]) -> Iterator[TextFile]:
        encoder = self._make_encoder()
        text_file = CSVFile(file, headers, encoder, escape_formulas=self.escape_formulas)
        file.writelines(self._encode_texts([headers]))
        yield text_file

    def _encode_texts(self, rows: Rows) -> Iterator[bytes]:
        columns = [self.format_cells(column) for column in zip(*rows, strict=True)]
        return self._make_encoder().encode(columns)

    def _make_encoder(self) -> LineEncoder:
        more_specials = GUARDED_SPECIALS if self.escape_formulas else ""
        return LineEncoder(self.dialect, more_specials=more_specials)

    def _encode_values(self, rows: Rows) -> Iterator[bytes]:
        """Leave a dialect's own rules to csv.writer, as quoting whatever is no number."""
        columns = [
            format_column(column, escape_formulas=self.escape_formulas)
            for column in zip(*rows, strict=True)
        ]
        file = _LineList()
        end = self.dialect.lineterminator
        # csv.writer quotes a text that holds a character of the line's end.
        is_minimal = self.dialect.quoting == csv.QUOTE_MINIMAL
        more = GUARDED_SPECIALS if self.escape_formulas and is_minimal else ""
        writer = csv.writer(file, self.dialect, lineterminator=end + more)
        writer.writerows(zip(*columns, strict=True))
        yield "".join([line.removesuffix(more) for line in file.lines]).encode()


class _LineList:
    """A list of lines for csv.writer, which writes one line at a time."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        self.lines.append(line)


class CSVFile(TextFile):
    """A file of CSV that takes cells and lines."""

    def __init__(
        self,
        file: BinaryIO,
        headers: Sequence[str],
        encoder: LineEncoder,
        *,
        escape_formulas: bool,
    ) -> None:
        self.file = file
        self.headers = headers
        self.encoder = encoder
        self.escape_formulas = escape_formulas
        self.row_count = 0

    def write_columns(self, columns: Sequence[Sequence[str | None]]) -> None:
        try:
            self.file.writelines(self.encoder.encode(columns))
        except Exception as error:
            rows = list(zip(*columns, strict=True))
            _locate(error, self._encode, rows, self.headers, self.row_count)
            raise
        self.row_count += len(columns[0])

    def write_lines(self, lines: Sequence[Line]) -> None:
        if len(lines) == 1 and not (self.escape_formulas and needs_guard(lines[0])):
            # It may be a large one.
            self.file.write(lines[0])
            self.file.write(b"\r\n")
        else:
            self.file.write(guard_lines(lines) if self.escape_formulas else end_lines(lines))
        self.row_count += len(lines)

    def _encode(self, rows: Rows) -> Iterator[bytes]:
        return self.encoder.encode(list(zip(*rows, strict=True)))


def _locate(
    error: Exception,
    encode: Callable[[Rows], Iterable[bytes]],
    rows: Rows,
    headers: Sequence[str],
    rows_before: int,
) -> None:
    """Note on the error the first cell that fails by itself."""
    for number, row in enumerate(rows, start=rows_before + 1):
        for header, cell in zip(headers, row, strict=True):
            try:
                for _ in encode([[cell]]):
                    pass
            except Exception:
                add_location(error, row=number, column=header)
                return

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from django_infra.exporter.conf import conf
from django_infra.exporter.exceptions import add_location
from django_infra.exporter.writers.base import Rows, Writer, WriteRows
from django_infra.exporter.writers.cells import format_column


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
                data = self._encode(rows)
            except Exception as error:
                self._locate(error, rows, headers, row_count)
                raise
            file.write(data)
            row_count += len(rows)

        file.write(self._encode([headers]))
        yield write_rows

    def _encode(self, rows: Rows) -> bytes:
        columns = [
            format_column(column, escape_formulas=self.escape_formulas)
            for column in zip(*rows, strict=True)
        ]
        text = io.StringIO(newline="")
        csv.writer(text, self.dialect).writerows(zip(*columns, strict=True))
        return text.getvalue().encode()

    def _locate(
        self, error: Exception, rows: Rows, headers: Sequence[str], rows_before: int
    ) -> None:
        """Note on the error the first cell that fails by itself."""
        for number, row in enumerate(rows, start=rows_before + 1):
            for header, cell in zip(headers, row, strict=True):
                try:
                    self._encode([[cell]])
                except Exception:
                    add_location(error, row=number, column=header)
                    return

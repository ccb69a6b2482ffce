"""Writers that let a test do something in the middle of an export."""

from __future__ import annotations

from contextlib import contextmanager

from django.utils.module_loading import import_string

from django_infra.exporter.writers.csv import CSVWriter


class SeekingCSVWriter(CSVWriter):
    """CSV that goes back to its first byte, and ends with a few that stay in the buffer."""

    @contextmanager
    def open(self, file, headers):
        with super().open(file, headers) as write_rows:
            yield write_rows
        end = file.tell()
        file.seek(0)
        file.write(b"#")
        file.seek(end)
        file.write(b"end")


class SparseCSVWriter(CSVWriter):
    """CSV with 100 GB of nothing at its end, which take no place, and minutes to read."""

    @contextmanager
    def open(self, file, headers):
        with super().open(file, headers) as write_rows:
            yield write_rows
        file.truncate(100 * 10**9)


class SpiedCSVWriter(CSVWriter):
    """CSV that calls ``on_chunk(number)`` before each chunk goes into the file, from 1.

    With ``takes_text=False`` it gets rows of values, as a writer that is not of text does.
    """

    def __init__(self, *, on_chunk, takes_text=True, **options):
        super().__init__(**options)
        # A process of its own gets the path of a function, since its settings are JSON.
        self.on_chunk = import_string(on_chunk) if isinstance(on_chunk, str) else on_chunk
        self.may_take_text = takes_text
        self.number = 0

    @property
    def takes_text(self):
        return super().takes_text and self.may_take_text

    @contextmanager
    def open_text(self, file, headers):
        with super().open_text(file, headers) as text_file:
            text_file.write_columns = self.spy(text_file.write_columns)
            text_file.write_lines = self.spy(text_file.write_lines)
            yield text_file

    @contextmanager
    def open(self, file, headers):
        with super().open(file, headers) as write_rows:
            yield self.spy(write_rows)

    def spy(self, write):
        def write_spied(*args):
            self.number += 1
            self.on_chunk(self.number)
            write(*args)

        return write_spied

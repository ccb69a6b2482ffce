"""Writers that let a test do something in the middle of an export."""

from __future__ import annotations

from contextlib import contextmanager

from django.utils.module_loading import import_string

from django_infra.exporter.writers.csv import CSVWriter


class SpiedCSVWriter(CSVWriter):
    """CSV that calls ``on_chunk(number)`` before each chunk goes into the file, from 1."""

    def __init__(self, *, on_chunk, **options):
        super().__init__(**options)
        # A process of its own gets the path of a function, since its settings are JSON.
        self.on_chunk = import_string(on_chunk) if isinstance(on_chunk, str) else on_chunk

    @contextmanager
    def open(self, file, headers):
        number = 0

        def write_spied(rows):
            nonlocal number
            number += 1
            self.on_chunk(number)
            write_rows(rows)

        with super().open(file, headers) as write_rows:
            yield write_spied

"""Draw a progress bar on a terminal."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from django_infra.exporter.jobs.progress import Watch

try:
    from tqdm import tqdm  # type: ignore[import-untyped]
except ImportError:
    tqdm = None

HINT = 'To see the progress: pip install "django-infra[progress]"'
INTERVAL = 0.1  # seconds between two looks
WIDTH = 80  # columns of a terminal that does not know its own


@contextmanager
def open_bar(stream: TextIO, title: str) -> Iterator[Watch | None]:
    """Give what draws the progress on the terminal, or say there what is missing."""
    if tqdm is None:
        stream.write(f"{HINT}\n")
        yield None
        return
    columns, lines = os.get_terminal_size(stream.fileno())
    # One that does not know its size says 0, where tqdm would draw nothing.
    size = {"ncols": columns or WIDTH, "nrows": lines}
    with tqdm(desc=title, unit=" rows", file=stream, **size) as drawing:
        bar = _Bar(drawing)
        bar.start()
        try:
            yield bar.watch
        finally:
            bar.stop()


class _Bar(threading.Thread):
    """Draw from a thread, so that the clock goes on where no row does."""

    def __init__(self, drawing: Any) -> None:
        super().__init__(name="progress bar", daemon=True)
        self.drawing = drawing
        self.row_count = 0
        self.total: int | None = None
        self.is_over = threading.Event()

    def watch(self, row_count: int, total: int | None) -> None:
        """Note what the export tells; it costs no drawing, however often it is told."""
        self.row_count, self.total = row_count, total

    def run(self) -> None:
        while not self.is_over.wait(INTERVAL):
            self.draw()

    def stop(self) -> None:
        """Draw the last number of rows, which no look has seen."""
        self.is_over.set()
        self.join()
        self.draw()

    def draw(self) -> None:
        self.drawing.total = self.total
        self.drawing.n = self.row_count
        self.drawing.refresh()

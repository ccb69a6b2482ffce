"""A progress bar on a terminal."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from django_infra.exporter.progress import Watch

try:
    from tqdm import tqdm  # type: ignore[import-untyped]
except ImportError:
    tqdm = None

HINT = 'To see the progress: pip install "django-infra[progress]"'
INTERVAL = 0.1  # seconds between two looks
WIDTH = 80


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


class _Bar:
    """Draw from a thread, so that the clock goes on where no row does."""

    def __init__(self, drawing: Any) -> None:
        self.drawing = drawing
        self.row_count = 0
        self.total: int | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress bar", daemon=True)

    def watch(self, row_count: int, total: int | None) -> None:
        self.row_count, self.total = row_count, total

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._draw()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            self._draw()

    def _draw(self) -> None:
        self.drawing.total = self.total
        self.drawing.n = self.row_count
        self.drawing.refresh()

"""Watch an export from another connection, as any other process could."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import Event, Thread

from django.db import connection
from django.utils import timezone
from tqdm import tqdm

from django_infra.exporter.models import ExportState, QueryExport

POLL_SECONDS = 0.2
LINE_SECONDS = 1.0

Show = Callable[[QueryExport], None]


@contextmanager
def watch_export() -> Iterator[None]:
    """Show on stderr how the export moves that the block runs."""
    with _open_display() as show:
        finished = Event()
        watcher = Thread(target=_poll, args=(timezone.now(), finished, show), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            finished.set()
            watcher.join()


def _poll(since: datetime, finished: Event, show: Show) -> None:
    # export_queryset() returns its row at the end; until then it is the first one since the start.
    exports = QueryExport.objects.filter(created_at__gte=since).order_by("created_at")
    try:
        while not finished.wait(POLL_SECONDS):
            if export := exports.first():
                show(export)
        if export := exports.first():
            show(export)
    finally:
        # This thread opened it, and no other one may close it.
        connection.close()


@contextmanager
def _open_display() -> Iterator[Show]:
    if sys.stderr.isatty():
        bar_format = "{l_bar}{bar}| {elapsed}"
        with tqdm(total=100, bar_format=bar_format, ncols=_get_width()) as bar:

            def show(export: QueryExport) -> None:
                # The window may have another size by now.
                bar.ncols = _get_width()
                bar.n = export.progress_percent or 0
                # In front of the bar, which takes the width that is left.
                bar.set_description(f"{export.get_state_display()}, {export.row_count or 0:,} rows")

            yield show
    else:
        yield _LinePrinter().show


def _get_width() -> int:
    # Some terminals begin a new line as soon as the last column is written to, and one that does
    # not know its size says 0.
    return (os.get_terminal_size(sys.stderr.fileno()).columns or 80) - 1


class _LinePrinter:
    """Print a line when the row has changed, at most once a second."""

    def __init__(self) -> None:
        self._printed_at = 0.0
        self._line = ""

    def show(self, export: QueryExport) -> None:
        percent = "?" if export.progress_percent is None else export.progress_percent
        line = f"{export.get_state_display()}: {export.row_count or 0:,} rows, {percent} %"
        now = time.monotonic()
        is_due = now - self._printed_at >= LINE_SECONDS or export.state == ExportState.SUCCESS
        if line != self._line and is_due:
            print(line, file=sys.stderr, flush=True)
            self._line, self._printed_at = line, now

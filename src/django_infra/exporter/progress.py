"""How far an export is, told to the row once a second while rows pass."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeAlias

from django.db import DatabaseError, Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_infra.db.transaction import is_in_transaction
from django_infra.exporter.columns import Selection
from django_infra.exporter.exceptions import ExportInterrupted
from django_infra.exporter.models import QueryExport
from django_infra.exporter.sources import get_source
from django_infra.exporter.sources.base import Source

logger = logging.getLogger(__name__)

# Takes the number of rows so far, and that of all if it is known.
Watch: TypeAlias = Callable[[int, int | None], None]

INTERVAL = 1.0  # seconds between two updates of the row
JOIN_TIMEOUT = 5.0  # seconds to wait for a thread whose statement does not end


class Record(Protocol):
    """What is told of the progress: the row of an export, or what stands in for one."""

    id: str
    data_path: str

    @property
    def database(self) -> str: ...

    def beat(self, *, row_count: int, progress_percent: int | None) -> bool: ...

    def hold_path(self) -> bool: ...


class Progress:
    """Count the rows, and tell the row nothing on the way.

    Used within a caller's transaction, which hides the row from all others anyway. ``watch()`` is
    told of all rows that pass, by the thread that writes them.
    """

    def __init__(self, export: Record, selection: Selection, watch: Watch | None = None) -> None:
        self.export = export
        self.selection = selection
        self.watch = watch
        self.row_count = 0
        self.total: int | None = None
        self.is_interrupted = False
        self.source: Source | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop telling."""

    def advance(self, rows: int) -> None:
        """Count rows that are in the file; raise ExportInterrupted if they are not wanted."""
        self.row_count += rows
        if self.watch is not None:
            self.watch(self.row_count, self.total)

    def begin(self, source: Source) -> None:
        """Count from the first row of the source, which may be told to stop."""
        self.source = source
        self.row_count = 0

    def end(self) -> None:
        """Leave the source alone from now on."""
        self.source = None

    def check(self) -> None:
        """Raise ExportInterrupted if nobody wants the export any more."""
        if self.is_interrupted:
            raise ExportInterrupted(
                f"{self.export.id} was deleted or ended by somebody else while it ran."
            )

    def tell(self) -> None:
        percent = self.percent
        if not self.export.beat(row_count=self.row_count, progress_percent=percent):
            self.is_interrupted = True

    @property
    def percent(self) -> int | None:
        """From 0 to 99, since 100 is for success; None while the total is not known."""
        if self.total is None:
            return None
        return min(99, self.row_count * 100 // self.total) if self.total else 99


class InlineProgress(Progress):
    """Tell the row between two chunks, on the connection that reads them.

    For SQLite without a write-ahead log, where an open SELECT keeps every other connection from
    writing. It cannot tell anything before the first rows.
    """

    def __enter__(self) -> Self:
        self._told_at = time.monotonic()
        # A connection that reads from another database may be too busy for a second query.
        self._may_count = self.selection.queryset.db == self.export.database
        return self

    def advance(self, rows: int) -> None:
        super().advance(rows)
        if self._may_count and self._is_due():
            self._may_count = False
            self._try(self._count)
        self.check()

    def check(self) -> None:
        """Tell it too: whoever asks may be busy with the file for long after the last row."""
        if self._is_due():
            self._try(self.tell)
            self._told_at = time.monotonic()
        super().check()

    def _is_due(self) -> bool:
        return time.monotonic() - self._told_at >= INTERVAL

    def _count(self) -> None:
        self.total = get_source(self.selection).count()

    def _try(self, statement: Callable[[], None]) -> None:
        try:
            statement()
        except DatabaseError:
            logger.debug("%s could not tell its progress.", self.export.id, exc_info=True)


class ThreadedProgress(Progress):
    """Tell the row from a thread with a connection of its own, and count in another.

    The connection that streams rows is busy, and before the first row it may sort for minutes.
    Neither does anything for a second, and rows are counted from the next one on: an export that
    is done by then opens no connection, and leaves the server alone.
    """

    def __enter__(self) -> Self:
        self._ticker = _Ticker(f"progress of {self.export.id}", self._tick)
        self._counter = _Counter(self)
        self._ticker.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ticker.stop()
        self._counter.stop()

    def advance(self, rows: int) -> None:
        super().advance(rows)
        self.check()

    def _tick(self, number: int) -> bool:
        if not self.is_interrupted:
            self._try_to_tell()
        if number == 2 and not self.is_interrupted:
            self._counter.start()
        if self.is_interrupted and (source := self.source):
            # The database may be far from the first row, at which the export would notice; and
            # what was told to stop a second ago may have been about to begin.
            source.interrupt()
        return not self.is_interrupted or self._is_holding()

    def _is_holding(self) -> bool:
        """Keep the path of a cancelled export from others until its worker has stopped."""
        try:
            return self.export.hold_path() or self.source is not None
        except Error:
            connections[self.export.database].close()
            return self.source is not None

    def _try_to_tell(self) -> None:
        try:
            self.tell()
        except Error:
            logger.warning("%s could not tell its progress.", self.export.id, exc_info=True)
            connections[self.export.database].close()


class _Ticker:
    """Call a function with 1, 2, 3 … once a second, until it returns False.

    It runs in a thread with connections of its own.
    """

    def __init__(self, name: str, tick: Callable[[int], bool]) -> None:
        self._tick = tick
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(JOIN_TIMEOUT)

    def _run(self) -> None:
        number = 0
        try:
            while not self._stop.wait(INTERVAL):
                number += 1
                if not self._tick(number):
                    return
        finally:
            connections.close_all()


class _Counter:
    """The query that counts all rows, in a thread that can be stopped."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._source: Source | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"count of {progress.export.id}", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        end = time.monotonic() + JOIN_TIMEOUT
        while self._thread.is_alive() and time.monotonic() < end:
            # The query may have been about to begin.
            if self._source is not None:
                self._source.interrupt()
            self._thread.join(0.1)

    def _run(self) -> None:
        try:
            self._source = get_source(self.progress.selection)
            self.progress.total = self._source.count()
        except Error:
            # Interrupted at the end of the export, or too slow for the server's own limit.
            logger.debug("%s could not count.", self.progress.export.id, exc_info=True)
        finally:
            with suppress(Error):
                connections.close_all()


@contextmanager
def keep_alive(export: QueryExport) -> Iterator[None]:
    """Send heartbeats while there is nothing to count, such as in a function of the project."""
    if is_in_transaction(export.database) or _has_rollback_journal(connections[export.database]):
        yield
        return

    def beat(number: int) -> bool:
        try:
            return export.keep_alive()
        except Error:
            logger.warning("%s could not send a heartbeat.", export.id, exc_info=True)
            connections[export.database].close()
            return True

    ticker = _Ticker(f"progress of {export.id}", beat)
    ticker.start()
    try:
        yield
    finally:
        ticker.stop()


def get_progress(export: QueryExport, selection: Selection, watch: Watch | None = None) -> Progress:
    """Return the way of telling progress that the row's connection allows."""
    connection = connections[export.database]
    if is_in_transaction(export.database):
        return Progress(export, selection, watch)
    if _has_rollback_journal(connection) and selection.queryset.db == connection.alias:
        return InlineProgress(export, selection, watch)
    return ThreadedProgress(export, selection, watch)


def _has_rollback_journal(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether an open SELECT keeps every other connection from writing."""
    if connection.vendor != "sqlite":
        return False
    # As its name tells, without a query; one in memory has none, and is not shared.
    path = Path(str(connection.settings_dict["NAME"]))
    if not path.is_file():
        return True
    # The log lies beside the database while that is open, which it is since the row is there.
    return not path.resolve().with_name(f"{path.resolve().name}-wal").exists()

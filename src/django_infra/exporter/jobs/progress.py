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
from django_infra.exporter.conf import conf
from django_infra.exporter.exceptions import (
    ExportInterrupted,
    HeartbeatFailed,
    RowHidden,
    describe_error,
)
from django_infra.exporter.jobs.ticker import (
    JOIN_TIMEOUT,
    PATIENCE,
    Interrupter,
    SecondConnection,
    Teller,
    Ticker,
    close_all,
    cut,
)
from django_infra.exporter.models import QueryExport
from django_infra.exporter.sources import Source, get_source
from django_infra.exporter.sources.sessions import Session

logger = logging.getLogger(__name__)

# Takes the number of rows so far, and that of all if it is known.
Watch: TypeAlias = Callable[[int, int | None], None]

INTERVAL = 1.0  # seconds between two updates of the row


class Record(Protocol):
    """What is told of the way of the data: the row of an export, or what stands in for one."""

    id: str
    data_path: str


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
        if self.source is not None:
            self.source.has_ended = True
        self.source = None

    def check(self) -> None:
        """Raise ExportInterrupted if nobody wants the export any more."""
        if self.is_interrupted:
            raise ExportInterrupted(
                f"{self.export.id} was deleted or ended by somebody else while it ran."
            )

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

    export: QueryExport

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
            self._try(self._tell)
            self._told_at = time.monotonic()
        super().check()

    def _is_due(self) -> bool:
        return time.monotonic() - self._told_at >= INTERVAL

    def _tell(self) -> None:
        self.is_interrupted = not self.export.beat(
            row_count=self.row_count, progress_percent=self.percent
        )

    def _count(self) -> None:
        self.total = get_source(self.selection).count()

    def _try(self, statement: Callable[[], None]) -> None:
        try:
            statement()
        except DatabaseError:
            logger.debug("%s could not tell its progress.", self.export.id, exc_info=True)


class CountingProgress(Progress):
    """Count all rows in a thread beside those that pass, from the second interval on.

    An export that is done by then opens no connection for it, and leaves the server alone.
    """

    def __enter__(self) -> Self:
        self._ticker = Ticker(f"progress of {self.export.id}", self._tick, interval=INTERVAL)
        self._interrupter = Interrupter(f"progress of {self.export.id}: interruption")
        self._counter = _Counter(self)
        self._begun: Source | None = None
        self._ticker.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._ticker.stop()
        finally:
            self._counter.stop()
            self._interrupter.wait()

    def begin(self, source: Source) -> None:
        super().begin(source)
        self._begun = source

    def advance(self, rows: int) -> None:
        super().advance(rows)
        if self._counter.is_wanted and self.source is not None and self.source.session is None:
            self.source.note_session()

    def _tick(self, number: int) -> None:
        if number >= 2 and self._begun is not None:
            self._counter.start_once(self._begun)


class ThreadedProgress(CountingProgress):
    """Tell the row from a thread with a connection of its own, and count in another.

    The connection that streams rows is busy, and before the first row it may sort for minutes.

    1. Nothing is told in the first interval: an export that is done by then opens no connection.
    2. A row that the second connection does not find is gone, or ended by somebody else, only if
       that connection has found it before, or would surely find it.
    3. All rows are counted only once a heartbeat has been had, and only while they are on time.
    4. Without a heartbeat for half the lease the export interrupts its own query, and fails with
       the cause. It would count as lost soon, while it works.
    """

    export: QueryExport

    def __init__(
        self, export: QueryExport, selection: Selection, watch: Watch | None = None
    ) -> None:
        super().__init__(export, selection, watch)
        export.heard_at = export.heard_at or time.monotonic()
        self._first = connections[export.database]
        self._owner = threading.get_ident()
        self._has_found = False
        # Since when the teller owes an answer, and since when the source is to stop.
        self._asked_at: float | None = None
        self._stopped_at: float | None = None
        self._ticked_at = time.monotonic()
        self._failure: HeartbeatFailed | None = None

    def __enter__(self) -> Self:
        self._teller = Teller(
            f"heartbeat of {self.export.id}",
            self._tell,
            first=self._first,
            session=self.export.session,
        )
        super().__enter__()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(error_type, error, traceback)
        finally:
            self._teller.stop()

    def advance(self, rows: int) -> None:
        super().advance(rows)
        self.check()

    def check(self) -> None:
        super().check()
        is_free = self.source is None and threading.get_ident() == self._owner
        if is_free and self._is_silent_for(conf.lease / 4):
            # Between the last row and the end the export's own connection has time for it.
            with suppress(Error):
                self.is_interrupted = not self._beat()
                super().check()
        if self._failure is not None:
            raise self._failure

    def _tick(self, number: int) -> None:
        before, now = self._ticked_at, time.monotonic()
        self._ticked_at = now
        if now - before > max(conf.lease / 8, 2 * INTERVAL):
            # The whole process was stopped, and the teller may have an answer in a moment.
            self._asked_at = None
        is_owing = self._asked_at is not None and now - self._asked_at > conf.lease / 8
        if is_owing and self._is_silent_for(conf.lease / 2):
            self._fail()
        elif is_owing and self._is_silent_for(conf.lease / 4):
            self._counter.give_way()
        elif self._has_found:
            super()._tick(number)
        self._asked_at = self._asked_at or now
        self._teller.ask()
        if self.is_interrupted or self._failure is not None:
            self._stop_source(now)

    def _tell(self, connection: BaseDatabaseWrapper) -> None:
        """Do in the teller's thread what the row is to be told."""
        if self.is_interrupted:
            # Keep the path of a cancelled export from others until its worker has stopped.
            self.export.hold_path()
        elif self._beat():
            self._has_found = True
        elif self._has_found or self._would_find(connection):
            self.is_interrupted = True
        else:
            raise RowHidden(
                "The connection for heartbeats does not find the row: it is deleted, in another "
                "schema, or hidden by row-level security. Name in EXPORTER_SESSION_SETTINGS the "
                "variables on which that depends."
            )
        self._asked_at = None

    def _beat(self) -> bool:
        return self.export.beat(row_count=self.row_count, progress_percent=self.percent)

    def _would_find(self, connection: BaseDatabaseWrapper) -> bool:
        table = self.export._meta.db_table
        return self.export.is_there() or self.export.session.finds_all(connection, table)

    def _is_silent_for(self, seconds: float) -> bool:
        return time.monotonic() - self.export.heard_at > seconds

    def _fail(self) -> None:
        error = self._teller.error
        cause = "its connection does not answer." if error is None else describe_error(error)
        failure = HeartbeatFailed(
            f"No heartbeat for {conf.lease / 2:g} seconds, half of EXPORTER_LEASE: {cause}"
        )
        failure.__cause__ = error
        self._failure = self._failure or failure

    def _stop_source(self, now: float) -> None:
        """Interrupt the query, and end its connection if that does not help.

        The database may be far from the first row, at which the export would notice; and what was
        told to stop a second ago may have been about to begin.
        """
        if (source := self.source) is None:
            return
        self._stopped_at = self._stopped_at or now
        if self._failure is not None and now - self._stopped_at > conf.lease / 8:
            # Where no connection is to be had, MySQL can be told nothing either.
            cut(source.connection)
        else:
            self._interrupter.interrupt(source)


class _Counter:
    """The query that counts all rows, in a thread that can be stopped."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.is_wanted = False
        self._interrupter = Interrupter(f"count of {progress.export.id}: interruption")
        self._is_over = False
        self._counted: Source
        self._second: SecondConnection
        self._source: Source | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"count of {progress.export.id}", daemon=True
        )

    def start_once(self, counted: Source) -> None:
        """Start, if that is still to be done, once it is known which rows the source finds."""
        self.is_wanted = True
        if self._thread.ident is None and not self._is_over and counted.session is not None:
            self._counted, self._second = counted, SecondConnection(counted.connection)
            self._thread.start()

    def give_way(self) -> None:
        """Stop for good, as heartbeats may lack the connection that this has."""
        self._is_over = True
        if self._source is not None and self._thread.is_alive():
            self._interrupter.interrupt(self._source)

    def stop(self) -> None:
        """Stop, and leave the thread if it waits for a connection, which it then closes."""
        started = time.monotonic()
        while self._thread.is_alive() and (waited := time.monotonic() - started) < JOIN_TIMEOUT:
            if waited > PATIENCE:
                if not self._second.is_open:
                    return
                self._second.cut()
            # The query may have been about to begin.
            self.give_way()
            self._thread.join(0.1)

    def _run(self) -> None:
        try:
            connection = self._second.install()
            connection.ensure_connection()
            source = self._source = get_source(self.progress.selection)
            if self._is_over:
                return
            with (self._counted.session or Session()).on(connection):
                self.progress.total = source.count()
        except Exception:
            # Interrupted at the end of the export, or too slow for the server's own limit.
            logger.debug("%s could not count.", self.progress.export.id, exc_info=True)
        finally:
            close_all()


@contextmanager
def keep_alive(export: QueryExport) -> Iterator[None]:
    """Send heartbeats while there is nothing to count, such as in a function of the project."""
    first = connections[export.database]
    if is_in_transaction(export.database) or _has_rollback_journal(first):
        yield
        return
    teller = Teller(
        f"heartbeat of {export.id}",
        lambda connection: export.keep_alive(),
        first=first,
        session=export.session,
    )
    name = f"progress of {export.id}"
    ticker = Ticker(name, lambda number: teller.ask(), interval=INTERVAL)
    ticker.start()
    try:
        yield
    finally:
        try:
            ticker.stop()
        finally:
            teller.stop()
        is_silent = time.monotonic() - export.heard_at > conf.lease / 4
        if is_silent and not is_in_transaction(export.database):
            with suppress(Error):
                export.keep_alive()


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

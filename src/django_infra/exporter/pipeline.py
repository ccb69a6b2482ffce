"""Run one export: the only place where source, writer, progress and storage meet."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from django.db import Error, InterfaceError, OperationalError, connections

from django_infra.db.transaction import is_in_transaction
from django_infra.exporter.columns import Selection
from django_infra.exporter.delivery import Delivery, get_delivery
from django_infra.exporter.exceptions import ExportInterrupted
from django_infra.exporter.models import ExportState, QueryExport
from django_infra.exporter.progress import Progress, get_progress
from django_infra.exporter.sources import Reading, Source, UnknownForm, get_source
from django_infra.exporter.writers.base import TextWriter, Writer

logger = logging.getLogger(__name__)

RETRY_DELAYS = (0.2, 0.5, 1.0, 2.0, 4.0)  # seconds: a database restarts within their sum


def run(export: QueryExport, selection: Selection, writer: Writer) -> None:
    """Take the export from Scheduled to Success, or to Fail and raise what went wrong."""
    started = time.monotonic()
    try:
        _record(export, ExportState.PROCESSING, export.start)
        with _get_delivery(export) as delivery:
            with get_progress(export, selection) as progress:
                _Transfer(export, selection, writer, delivery, progress).run()
                _record(export, ExportState.PROCESSING, export.begin_delivery)
                file_size = delivery.deliver()
            succeed = partial(export.succeed, row_count=progress.row_count, file_size=file_size)
            _record(export, ExportState.SUCCESS, lambda: succeed(job_time=_get_elapsed(started)))
    except BaseException as error:
        _record_failure(export, error, started=started)
        raise


@dataclass
class _Transfer:
    """The rows of one export on their way into the temporary file."""

    export: QueryExport
    selection: Selection
    writer: Writer
    delivery: Delivery
    progress: Progress

    def run(self) -> None:
        try:
            if isinstance(self.writer, TextWriter) and self.writer.takes_text:
                self._write_text_somehow(self.writer)
            else:
                self._write_values()
        except Error:
            # The query may have ended because it was told to.
            self.progress.check()
            raise

    def _write_text_somehow(self, writer: TextWriter) -> None:
        try:
            self._write_text(writer)
        except UnknownForm as error:
            logger.debug("%s begins again without forms: %s", self.export.id, error)
            self.delivery.restart()
            self._write_text(writer, may_use_forms=False)

    def _write_values(self) -> None:
        source, file = self._get_source(), self.delivery.file
        with source.open() as reading, self.writer.open(file, self._headers) as write_rows:
            self._note_path(reading)
            for rows in reading:
                with self._advance(source, len(rows)):
                    write_rows(rows)

    def _write_text(self, writer: TextWriter, *, may_use_forms: bool = True) -> None:
        source, file = self._get_source(), self.delivery.file

        def write_lines(lines: bytes | memoryview, row_count: int) -> None:
            with self._advance(source, row_count):
                text_file.write_lines(lines, row_count)

        with (
            source.open(writer, may_use_forms=may_use_forms) as reading,
            writer.open_text(file, self._headers) as text_file,
        ):
            self._note_path(reading)
            if reading.copy is not None:
                reading.copy(write_lines)
            for columns in reading:
                with self._advance(source, len(columns[0])):
                    text_file.write_columns(columns)

    def _get_source(self) -> Source:
        source = get_source(self.selection)
        self.progress.begin(source)
        return source

    @contextmanager
    def _advance(self, source: Source, row_count: int) -> Iterator[None]:
        """Count the rows that the block writes, and choose how many to fetch next."""
        file = self.delivery.file
        size_before = file.tell()
        yield
        source.pace(rows=row_count, size=file.tell() - size_before)
        self.progress.advance(row_count)
        # The first rows are in the file at once, and the rest comes in large pieces anyway.
        file.flush()

    @property
    def _headers(self) -> list[str]:
        return [column.header for column in self.selection.columns]

    def _note_path(self, reading: Reading) -> None:
        self.export.data_path = reading.path
        logger.debug(
            "%s reads through %s; columns whose cells are made in Python: %s.",
            self.export.id,
            reading.path.label,
            ", ".join(map(repr, reading.unformed)) or "none",
        )


def _get_delivery(export: QueryExport) -> Delivery:
    return get_delivery(
        export.storage,
        export.file_path,
        temp_name=export.id,
        may_stay=partial(_is_success, export),
    )


def _is_success(export: QueryExport) -> bool | None:
    """Tell whether the row says so, or None if it cannot be asked.

    After an interrupt, or a connection lost at its commit, only the row knows.
    """
    if export.state == ExportState.SUCCESS:
        return True
    try:
        return _try(export, partial(export.is_recorded_as, ExportState.SUCCESS))
    except Error:
        # With a caller's transaction goes the row.
        return False if is_in_transaction(export.database) else None


def _record_failure(export: QueryExport, error: BaseException, *, started: float) -> None:
    """Say so in the row; the caller gets the error even where the row cannot have it."""
    try:
        _try(export, lambda: export.fail(error, job_time=_get_elapsed(started)))
    except Error:
        logger.exception("%s failed, and its row could not be told.", export.id)


def _record(export: QueryExport, state: ExportState, transition: Callable[[], bool]) -> None:
    """Write a transition to the state; raise ExportInterrupted if somebody else was faster."""
    if _try(export, transition):
        return
    # A connection lost after its commit leaves nothing to do for the next attempt.
    if not export.is_recorded_as(state):
        raise ExportInterrupted(f"{export.id} was deleted or ended by somebody else.")
    export.refresh_from_db()


def _try(export: QueryExport, query: Callable[[], bool]) -> bool:
    """Ask or tell the row, on a fresh connection and again if the database is away for a while."""
    for delay in RETRY_DELAYS:
        try:
            return query()
        except (InterfaceError, OperationalError):
            if is_in_transaction(export.database):
                raise
            connections[export.database].close()
            time.sleep(delay)
    return query()


def _get_elapsed(started: float) -> timedelta:
    return timedelta(seconds=time.monotonic() - started)

"""Run one export: the only place where source, writer, progress and storage meet."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import chain, repeat
from typing import BinaryIO, NoReturn, Protocol, Self, TypeVar

from django.db import Error, InterfaceError, OperationalError, connections
from django.utils import timezone

from django_infra.db.transaction import is_in_transaction
from django_infra.exporter.columns import Selection
from django_infra.exporter.conf import conf
from django_infra.exporter.delivery import Delivery, Left, get_delivery, make_barred_error
from django_infra.exporter.exceptions import ExportInterrupted, LimitExceeded
from django_infra.exporter.jobs.progress import Progress, Record, Watch, get_progress, keep_alive
from django_infra.exporter.models import ExportState, QueryExport
from django_infra.exporter.models.query_export import make_token
from django_infra.exporter.signals import announce, export_finished, export_started
from django_infra.exporter.sources import Reading, Source, UnknownForm, get_source
from django_infra.exporter.transient_errors import is_disk_full, is_transient
from django_infra.exporter.writers.base import TextWriter, Writer

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

RETRY_DELAYS = (0.2, 0.5, 1.0, 2.0, 4.0)  # seconds, of which the last one is repeated
PATIENCE = 1 / 3  # of the lease, so that the worker is done long before it counts as lost


@dataclass(frozen=True)
class Job:
    """What an attempt is to write, and within which limits."""

    selection: Selection
    writer: Writer
    max_rows: int | None = None
    max_file_size: int | None = None
    expires_in: timedelta | None = None

    @classmethod
    def limited(
        cls,
        selection: Selection,
        writer: Writer,
        *,
        max_rows: int | None = None,
        max_file_size: int | None = None,
        expires_in: timedelta | None = None,
    ) -> Self:
        """Return the job with the limits of the settings where it has none of its own."""
        return cls(
            selection,
            writer,
            max_rows=conf.max_rows if max_rows is None else max_rows,
            max_file_size=conf.max_file_size if max_file_size is None else max_file_size,
            expires_in=conf.expires_in if expires_in is None else expires_in,
        )


class Sink(Protocol):
    """Where the bytes of an export go."""

    @property
    def file(self) -> BinaryIO: ...

    def restart(self) -> None:
        """Begin again, as if nothing had been written."""


def run(export: QueryExport, job: Job, *, watch: Watch | None = None) -> None:
    """Take the export from Scheduled to Success, or to Fail and raise what went wrong.

    While the database is away the row stays as it is, for the recovery, and the error is raised.
    """
    started = time.monotonic()
    try:
        if not claim(export):
            raise _make_unclaimed(export)
        with keep_alive(export):
            announce(export_started, export)
        attempt(export, job, watch=watch)
    except BaseException as error:
        fail(export, error, started=started)


def claim(export: QueryExport) -> bool:
    """Begin the first attempt, or the next one of a job, unless somebody else has."""
    token = make_token()
    return _record(export, ExportState.PROCESSING, partial(export.claim, token), token=token)


def try_again(export: QueryExport, error: BaseException) -> None:
    """Begin the next attempt after an error, which the row keeps."""
    token = make_token()
    move = partial(export.try_again, token, error)
    if not _record(export, ExportState.PROCESSING, move, token=token):
        raise _make_interrupted(export)
    export.is_clean = True


def keep_claim(export: QueryExport) -> None:
    """Send a heartbeat between two attempts; raise ExportInterrupted if nobody wants a next one."""
    try:
        is_wanted = export.keep_alive()
    except Error:
        # The next attempt will see whether the database is well again.
        connections[export.database].close()
        return
    if not is_wanted:
        raise _make_interrupted(export)


def attempt(export: QueryExport, job: Job, *, watch: Watch | None = None) -> None:
    """Make the file and record the success, or raise and leave nothing but the claim."""
    started = time.monotonic()
    export.found_columns = job.selection.describe_columns()
    progress = get_progress(export, job.selection, watch)
    delivery = get_delivery(
        export.storage,
        export.object_name,
        temp_name=export.temp_name,
        may_stay=partial(_is_success, export),
        check=progress.check,
        is_taken_over=partial(_is_taken_over, export),
        # The row has the moment from the database's clock, and would have to be asked.
        began_at=None if export.has_own_name else timezone.now(),
        remember=partial(_remember, export),
    )
    with _naming_full_disk(export, delivery), delivery:
        with progress:
            write(export, job, delivery, progress)
            checksum = delivery.compute_checksum()
            delivery.check_name()
            delivery.stage()
            # By what is known of its file, a recovery will know the saved one, or at least that a
            # larger one is not.
            staged = {} if export.has_own_name else delivery.facts or delivery.get_size_fact()
            begin = partial(export.begin_delivery, file_facts=staged)
            _move(export, ExportState.PROCESSING, begin)
            if export.delivery_started_at is None:
                raise make_barred_error(export.storage_alias, export.object_name)
            file_size = delivery.deliver()
            # Nobody else saves a file under a name of our own.
            facts = {} if export.has_own_name else delivery.find_facts()
        succeed = partial(
            export.succeed,
            row_count=progress.row_count,
            file_size=file_size,
            checksum=checksum,
            file_facts=facts,
            expires_in=job.expires_in,
        )
        _move(export, ExportState.SUCCESS, lambda: succeed(job_time=_get_elapsed(started)))
    _inherit(export)
    announce(export_finished, export)


def write(export: Record, job: Job, sink: Sink, progress: Progress) -> None:
    """Put all rows of the job into the sink, and count them."""
    _Transfer(export, job, sink, progress).run()


def fail(export: QueryExport, error: BaseException, *, started: float | None = None) -> NoReturn:
    """Record the error and raise it, or ExportInterrupted if the row was no longer ours.

    A worker that has stalled may find anything missing that another one has removed since.
    """
    is_ours = record_failure(export, error, started=started)
    if is_ours or not isinstance(error, Exception) or isinstance(error, ExportInterrupted):
        raise error
    raise _make_interrupted(export) from error


def record_failure(
    export: QueryExport, error: BaseException, *, started: float | None = None
) -> bool:
    """Say so in the row, and tell whether it was ours to say, as far as the database can tell."""

    def fail() -> bool:
        return export.fail(error, job_time=None if started is None else _get_elapsed(started))

    try:
        if insist(export, fail) or export.state == ExportState.SUCCESS:
            return True
        # One that was cancelled gives free only now what it has left.
        insist(export, export.release)
        # A connection lost after its commit leaves nothing to do for the next attempt.
        return insist(export, partial(export.has_failed_by, error))
    except Error:
        logger.exception("%s failed, and its row could not be told.", export.id)
        return True


@dataclass
class _Transfer:
    """The rows of one export on their way into the file."""

    export: Record
    job: Job
    sink: Sink
    progress: Progress

    def run(self) -> None:
        writer = self.job.writer
        try:
            if isinstance(writer, TextWriter) and writer.takes_text:
                self._write_text_somehow(writer)
            else:
                self._write_values(writer)
            # With what comes before the first row and after the last.
            self._check_limits(self.sink.file.tell())
        except Error:
            # The query may have ended because it was told to.
            self.progress.check()
            raise
        finally:
            self.progress.end()

    def _write_text_somehow(self, writer: TextWriter) -> None:
        try:
            self._write_text(writer)
        except UnknownForm as error:
            logger.debug("%s begins again without forms: %s", self.export.id, error)
            self.sink.restart()
            self._write_text(writer, may_use_forms=False)

    def _write_values(self, writer: Writer) -> None:
        source, file = self._get_source(), self.sink.file
        with source.open() as reading, writer.open(file, self._headers) as write_rows:
            self._note_path(reading)
            for rows in reading:
                with self._advance(source, len(rows)):
                    write_rows(rows)

    def _write_text(self, writer: TextWriter, *, may_use_forms: bool = True) -> None:
        source, file = self._get_source(), self.sink.file

        def write_lines(lines: Sequence[bytes | memoryview]) -> None:
            with self._advance(source, len(lines)):
                text_file.write_lines(lines)

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
        source = get_source(self.job.selection)
        self.progress.begin(source)
        return source

    @contextmanager
    def _advance(self, source: Source, row_count: int) -> Iterator[None]:
        """Count the rows that the block writes, and choose how many to fetch next."""
        file = self.sink.file
        size_before = file.tell()
        yield
        size = file.tell()
        source.pace(rows=row_count, size=size - size_before)
        self.progress.advance(row_count)
        self._check_limits(size)
        # The first rows are in the file at once, and the rest comes in large pieces anyway.
        file.flush()

    def _check_limits(self, size: int) -> None:
        max_rows, max_size = self.job.max_rows, self.job.max_file_size
        if max_rows is not None and self.progress.row_count > max_rows:
            raise LimitExceeded(f"Too many rows: an export may have {max_rows:,}.")
        if max_size is not None and size > max_size:
            raise LimitExceeded(f"Too large a file: an export may have {max_size:,} bytes.")

    @property
    def _headers(self) -> list[str]:
        return [column.header for column in self.job.selection.columns]

    def _note_path(self, reading: Reading) -> None:
        self.export.data_path = reading.path
        logger.debug(
            "%s reads through %s; columns whose cells are made in Python: %s.",
            self.export.id,
            reading.path.label,
            ", ".join(map(repr, reading.unformed)) or "none",
        )


@contextmanager
def _naming_full_disk(export: QueryExport, delivery: Delivery) -> Iterator[None]:
    """Note on an error for want of room where that is, and which setting says so."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            error.add_note(f"No room is left in {_describe_place(export, delivery)}.")
        raise


def _describe_place(export: QueryExport, delivery: Delivery) -> str:
    if delivery.is_saving:
        place = f"the storage {export.storage_alias!r} of STORAGES"
        location = getattr(delivery.storage, "location", None)
        return f"{location!r}, the folder of {place}" if location else place
    folder = str(delivery.get_temp_dir())
    if conf.temp_dir:
        return f"{folder!r}, the folder of unfinished files that EXPORTER_TEMP_DIR names"
    return f"{folder!r}, where unfinished files are made unless EXPORTER_TEMP_DIR names a folder"


def _is_success(export: QueryExport) -> bool | None:
    """Tell whether the row says so, and else keep it from ever saying so; None if it is silent.

    After an interrupt, or a connection lost at its commit, only the row knows.
    """
    if export.state == ExportState.SUCCESS:
        return True
    try:
        if insist(export, export.preclude_success):
            return False
        return insist(export, partial(export.is_recorded_as, ExportState.SUCCESS))
    except Error:
        # With a caller's transaction goes the row.
        if is_in_transaction(export.database):
            return False
        export.is_clean = False
        return None


def _is_taken_over(export: QueryExport) -> bool:
    """Tell whether the file under the export's name is surely, or perhaps, another one's."""
    try:
        return insist(export, export.has_heir)
    except Error:
        export.is_clean = False
        return True


def _remember(export: QueryExport, left: Left) -> None:
    """Write down what could not be deleted, or else leave the name to the row and its recovery."""
    try:
        insist(export, partial(export.remember, left))
    except Error:
        logger.exception("%s could not remember %r, which is not deleted.", export.id, left.name)
        export.is_clean = False


def _inherit(export: QueryExport) -> None:
    """Correct rows whose file this export could only save since it was gone."""
    try:
        export.inherit()
    except Error:
        logger.warning("%s could not correct other rows.", export.id, exc_info=True)


def _move(export: QueryExport, state: ExportState, transition: Callable[[], bool]) -> None:
    """Write a transition; raise ExportInterrupted if the row is no longer ours."""
    if not _record(export, state, transition):
        raise _make_interrupted(export)


def _record(
    export: QueryExport,
    state: ExportState,
    transition: Callable[[], bool],
    *,
    token: str | None = None,
) -> bool:
    """Write a transition to the state, and say whether the row has it."""
    if insist(export, transition):
        return True
    # A connection lost after its commit leaves nothing to do for the next attempt.
    if not insist(export, partial(export.is_recorded_as, state, token=token)):
        return False
    try:
        insist(export, partial(export.refresh_from_db, using=export.database))
    except QueryExport.DoesNotExist:
        return False
    return True


def _make_unclaimed(export: QueryExport) -> Exception:
    if not export.has_own_name and insist(export, export.is_barred):
        return make_barred_error(export.storage_alias, export.object_name)
    return _make_interrupted(export)


def _make_interrupted(export: QueryExport) -> ExportInterrupted:
    return ExportInterrupted(f"{export.id} was deleted or ended by somebody else.")


def insist(export: QueryExport, query: Callable[[], Result]) -> Result:
    """Ask or tell a row, on a fresh connection and again while the database is away.

    That is borne for a third of the lease since its first sign, whatever else is asked meanwhile.
    Then the error is raised.
    """
    delays = chain(RETRY_DELAYS, repeat(RETRY_DELAYS[-1]))
    while True:
        try:
            result = query()
        except Error as error:
            if is_in_transaction(export.database) or not may_pass(error):
                raise
            with suppress(Error):
                connections[export.database].close()
            if export.away_since is None:
                export.away_since = time.monotonic()
            left = export.away_since + conf.lease * PATIENCE - time.monotonic()
            if left <= 0:
                raise
        else:
            export.away_since = None
            return result
        time.sleep(min(next(delays), left))


def may_pass(error: Error) -> bool:
    """Tell whether the database may do later what it has refused, or has not heard of."""
    return isinstance(error, InterfaceError | OperationalError) or is_transient(error)


def _get_elapsed(started: float) -> timedelta:
    return timedelta(seconds=time.monotonic() - started)

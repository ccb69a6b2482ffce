from __future__ import annotations

import traceback
from datetime import timedelta
from typing import Any, Self

from django.core.exceptions import (
    FieldError,
    ImproperlyConfigured,
    PermissionDenied,
    SuspiciousFileOperation,
)
from django.db import OperationalError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

MAX_ERROR_LENGTH = 10_000  # characters


class ExporterError(Exception):
    """Base of every error that this app raises itself."""


class InvalidExport(ExporterError, ValueError):
    """The caller asked for an export that cannot be made; nothing was created."""


class InvalidQuerySet(InvalidExport, TypeError):
    """What was passed as the queryset is not one that gives rows."""


class InvalidValues(InvalidExport):
    """The values name no columns, or not in a way that makes a header row."""


class UnknownField(InvalidValues, FieldError):
    """A name in the values is no field, annotation or path of the queryset."""


class DuplicateHeader(InvalidValues):
    """Two columns would carry the same header."""


class InvalidOwner(InvalidExport):
    """The user given as ``created_by`` cannot own a row."""


class InvalidFilePath(InvalidExport, SuspiciousFileOperation):
    """The file path is unsafe, or not portable between storages."""


class FileExtensionMissing(InvalidExport):
    """Neither a format nor an extension of the file path says what to write."""


class UnsupportedFormat(InvalidExport):
    """No writer is configured for the format."""


class InvalidFormatOptions(InvalidExport):
    """The options do not suit the format."""


class FileAlreadyExists(InvalidExport, FileExistsError):
    """The storage already holds the file, or another export is writing it."""


class InvalidLimit(InvalidExport):
    """A limit of the export is none."""


class UnknownExport(InvalidExport, LookupError):
    """No export is registered under the name."""


class ExportNotPermitted(InvalidExport, PermissionDenied):
    """The user may not run the named export."""


class InvalidParams(InvalidExport):
    """The parameters are not what the form of the named export takes.

    ``errors`` maps each field to its messages and their codes, as ``form.errors.get_json_data()``.
    """

    def __init__(self, message: str, errors: dict[str, list[dict[str, Any]]] | None = None) -> None:
        super().__init__(message)
        self.errors = errors or {}


class OtherRows(InvalidParams):
    """A worker would not export the rows that the change list has shown.

    ``reason`` is for whoever asked, and has no values of the query.
    """

    def __init__(self, message: str, reason: str | Promise) -> None:
        super().__init__(message)
        self.reason = reason

    @classmethod
    def of_query(cls) -> Self:
        return cls(
            "the query is another: it depends on what a worker's request lacks, or on what has "
            "changed since",
            _("a worker would be shown other rows"),
        )

    @classmethod
    def of_database(cls, expected: str, found: str) -> Self:
        return cls(
            f"the rows would be read from the database {found!r} and not from {expected!r}",
            _("a worker would read another database"),
        )

    @classmethod
    def of_session(cls, name: str) -> Self:
        return cls(
            f"{name!r} of the database session is not what it was as the page was shown",
            _("a worker would have another schema, role or variable in its database session"),
        )

    @classmethod
    def of_doubles(cls, name: str) -> Self:
        return cls(
            f"the page shows a row once for each value of {name!r}, of which it has several",
            _("their page may show a row more than once"),
        )

    @classmethod
    def of_date(cls) -> Self:
        return cls("the query depends on the date", _("they depend on the date"))

    @classmethod
    def of_time(cls, moved: timedelta, passed: timedelta) -> Self:
        return cls(
            f"a time in the query has moved by {moved} while {passed} passed",
            _("they depend on a time that has changed"),
        )


class TooManyExports(InvalidExport):
    """The user has as many unfinished exports as EXPORTER_MAX_ACTIVE_PER_USER allows."""


class StartsThrottled(InvalidExport):
    """The user starts exports more often than the project allows."""

    def __init__(self, message: str, *, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class InvalidNamedExport(ExporterError, ImproperlyConfigured):
    """A declaration in an ``exports.py`` cannot work."""


class InvalidSetting(ExporterError, ImproperlyConfigured):
    """A setting has a value that cannot be used."""


class InvalidFormatSetting(InvalidSetting):
    """An entry of EXPORTER_FORMATS cannot be used."""


class ExportInterrupted(ExporterError):
    """The row was deleted, or moved to another state, while its export ran."""


class LeftToRecovery(ExporterError):
    """The worker cannot go on with the job now, and leaves it to the recovery and another one."""


class ExportCancelled(ExporterError):
    """Somebody has cancelled the export."""


class DatabaseLocked(ExporterError, OperationalError):
    """Others have kept SQLite's database from being written to for longer than its timeout."""


class HandoverFailed(ExporterError):
    """The runner did not take the job; its row has failed."""


class LimitExceeded(ExporterError):
    """The export has more rows, or its file more bytes, than is allowed."""


class UnfinishedFileReplaced(ExporterError, PermissionError):
    """Somebody else has replaced or linked the file that an export was writing."""


class StreamDiverged(ExporterError):
    """An export that had to begin again differs from what has left already."""


class HeartbeatFailed(ExporterError, ConnectionError):
    """No heartbeat has reached the row for half the lease, so that the export has ended itself."""


class RowHidden(ExporterError):
    """The connection for heartbeats does not find the row, which may be there for others."""


class WorkerLost(ExporterError):
    """The process that ran the export is gone."""


def get_type_name(error: type[BaseException]) -> str:
    """Return what the text of such an error begins with, up to a colon."""
    return f"{error.__module__}.{error.__qualname__}"


def describe_error(error: BaseException) -> str:
    """Return the error's type, message and notes, as any database can store them."""
    text = _make_storable("".join(traceback.format_exception_only(error)).strip())
    if isinstance(error, SystemExit | KeyboardInterrupt):
        text += " (the process was told to end)"
    if len(text) > MAX_ERROR_LENGTH:
        # The notes come last, and say where it was.
        notes = _make_storable("".join(f"\n{note}" for note in getattr(error, "__notes__", ())))
        text = f"{text[:MAX_ERROR_LENGTH]}…{notes[:MAX_ERROR_LENGTH]}"
    return text


def shorten(error: BaseException) -> BaseException:
    """Return the error for a log, with a text as short as the row has it, where it was raised."""
    whole = "".join(traceback.format_exception(error))
    frames = "".join(traceback.format_tb(error.__traceback__))
    if len(whole) - len(frames) <= MAX_ERROR_LENGTH:
        return error
    return ExporterError(describe_error(error)).with_traceback(error.__traceback__)


def _make_storable(text: str) -> str:
    return text.replace("\0", "\\x00").encode(errors="backslashreplace").decode()


def add_location(error: BaseException, *, row: int, column: str) -> None:
    """Note on the error which cell it came from; rows count from 1, without the header."""
    error.add_note(f"Row {row}, column {column!r}.")

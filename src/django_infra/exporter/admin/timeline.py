"""List what happened to an export, and when, with the attempts that failed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from django_infra.exporter.admin.facts import is_cancelled, show_duration, show_exact_time
from django_infra.exporter.models import ExportState, QueryExport
from django_infra.exporter.reasons import find_reason

MAX_MESSAGE_LENGTH = 600  # characters, beyond which the reader has to unfold it
# Fields of the export, by the step whose time they hold.
TIMES = {
    "handed-over": "handed_over_at",
    "started": "start_time",
    "alive": "heartbeat_at",
    "cancelled": "finished_at",
    "failed": "finished_at",
    "finished": "finished_at",
    "expires": "expires_at",
    "deleted": "file_deleted_at",
}
SHORTEST = timedelta(milliseconds=10)  # that is told between two steps
ERROR_START = re.compile(r"(?P<kind>[\w.]+)(?:: |$)")

# As QueryExport.cancel() writes it; the time is told beside it.
CANCELLED_BY = re.compile(r"ExportCancelled: Cancelled( by (?P<user>.+))? at [-+:\d ]+\.$")


@dataclass(frozen=True)
class Step:
    """Something that happened, or will, and how long after what was before it."""

    kind: str
    label: str
    time: datetime
    distance: str | None = None

    @property
    def is_future(self) -> bool:
        return self.time > timezone.now()

    @property
    def shown_time(self) -> str:
        return show_exact_time(self.time)


def list_steps(export: QueryExport) -> list[Step]:
    """Return the steps in the order of an export's life, as two clocks may tell another."""
    # What happens to a file is left to the clock: both may come first.
    expires = _("Expired") if export.has_expired else _("Expires")
    after = [
        *_make_step("expires", expires, export),
        *_make_step("deleted", _("File deleted"), export),
    ]
    after.sort(key=lambda step: step.time)
    steps = [*_find_steps(export), *after]
    shown = steps[:1]
    for before, step in pairwise(steps):
        period = step.time - before.time
        distance = show_duration(period) if period >= SHORTEST else None
        shown.append(replace(step, distance=distance))
    return shown


def _find_steps(export: QueryExport) -> Iterator[Step]:
    yield Step("scheduled", _("Scheduled"), export.created_at)
    earlier = _list_earlier(export)
    handed_over = list(_make_step("handed-over", _("Handed over to the runner"), export))
    # Of the job that was handed over again only the last time is known.
    ends = [each.ended_at for each in earlier if each.ended_at]
    is_again = bool(ends and export.handed_over_at and export.handed_over_at > max(ends))
    if not is_again:
        yield from handed_over
    for failure in earlier:
        attempt, started_at, ended_at = failure.attempt, failure.started_at, failure.ended_at
        if started_at is not None:
            yield Step("started", _say_started(attempt, of_several=True), started_at)
        if ended_at is not None:
            failed = _("Attempt %(number)s failed") % {"number": attempt}
            yield Step("failed", failed if attempt else _("Failed"), ended_at)
    if is_again:
        yield from handed_over
    yield from _make_step("started", _say_started(export.attempt), export)
    if export.state == ExportState.PROCESSING:
        yield from _make_step("alive", _("Last sign of the worker"), export)
    if is_cancelled(export):
        yield from _make_step("cancelled", _("Cancelled"), export)
    elif export.state == ExportState.FAIL:
        yield from _make_step("failed", _("Failed"), export)
    else:
        yield from _make_step("finished", _("Finished"), export)


def _make_step(kind: str, label: str, export: QueryExport) -> Iterator[Step]:
    """Yield the step if it has its time."""
    if (time := getattr(export, TIMES[kind])) is not None:
        yield Step(kind, label, time)


def _say_started(attempt: int | None, *, of_several: bool = False) -> str:
    if attempt is None or (attempt < 2 and not of_several):
        return _("Started")
    return _("Attempt %(number)s started") % {"number": attempt}


@dataclass(frozen=True)
class Failure:
    """An attempt that ended badly: its error's type, what it says, and all of its text."""

    attempt: int | None
    started_at: datetime | None
    ended_at: datetime | None
    text: str

    @property
    def kind(self) -> str:
        match = ERROR_START.match(self.text)
        return match["kind"].rpartition(".")[2] if match else ""

    @property
    def reason(self) -> str | None:
        """What is said of errors that are no surprise."""
        return find_reason(self.text)

    @property
    def message(self) -> str:
        if match := CANCELLED_BY.search(self.text):
            return _("By %(user)s.") % match.groupdict() if match["user"] else ""
        match = ERROR_START.match(self.text)
        text = self.text[match.end() :] if match else self.text
        if len(text) <= MAX_MESSAGE_LENGTH:
            return text
        return f"{text[:MAX_MESSAGE_LENGTH]}…"

    @property
    def shown_end(self) -> str | None:
        return None if self.ended_at is None else show_exact_time(self.ended_at)

    @property
    def duration(self) -> str | None:
        if self.started_at is None or self.ended_at is None:
            return None
        return show_duration(max(self.ended_at - self.started_at, timedelta(0)))


def list_failures(export: QueryExport, *, is_public: bool = False) -> list[Failure]:
    """Return the attempts that failed, the last one first; for the public without SQL and data."""
    failures = _list_earlier(export)
    if export.state == ExportState.FAIL:
        attempt = export.attempt or None
        last = Failure(attempt, export.start_time, export.finished_at, export.error_log)
        failures.append(last)
    if is_public:
        failures = [replace(each, text=each.reason or _("The export failed.")) for each in failures]
    return failures[::-1]


def _list_earlier(export: QueryExport) -> list[Failure]:
    # Code may have stored any JSON.
    entries = export.failures if isinstance(export.failures, list) else []
    earlier = []
    for entry in entries:
        if isinstance(entry, dict):
            attempt = entry.get("attempt")
            failure = Failure(
                attempt=attempt if isinstance(attempt, int) else None,
                started_at=_read_time(entry.get("started_at")),
                ended_at=_read_time(entry.get("ended_at")),
                text=str(entry.get("error", "")),
            )
            earlier.append(failure)
    return earlier


def _read_time(value: object) -> datetime | None:
    """Return the time that JSON has as text, or that is one still."""
    if not isinstance(value, str):
        return value if isinstance(value, datetime) else None
    try:
        return parse_datetime(value)
    except ValueError:
        return None

"""What happened to an export, and when."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from django_infra.exporter.admin.facts import show_duration
from django_infra.exporter.models import ExportState, QueryExport
from django_infra.exporter.serializers import find_reason

MAX_MESSAGE_LENGTH = 600  # characters, beyond which the reader has to unfold it
ERROR_START = re.compile(r"(?P<kind>[\w.]+)(?:: |$)")


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


def list_steps(export: QueryExport) -> list[Step]:
    steps = sorted(_find_steps(export), key=lambda step: step.time)
    shown = []
    for number, step in enumerate(steps):
        distance = show_duration(step.time - steps[number - 1].time) if number else None
        shown.append(Step(step.kind, step.label, step.time, distance))
    return shown


def _find_steps(export: QueryExport) -> Iterator[Step]:
    is_running = export.state == ExportState.PROCESSING
    has_failed = export.state == ExportState.FAIL
    started = (
        _("Started") if export.attempt < 2 else _("Attempt %(number)s started") % _count(export)
    )
    expires = _("Expired") if export.has_expired else _("Expires")
    found = [
        ("scheduled", _("Scheduled"), export.created_at),
        ("handed-over", _("Handed over to the runner"), export.handed_over_at),
        ("started", started, export.start_time),
        ("alive", _("Last sign of the worker"), export.heartbeat_at if is_running else None),
        (
            "failed" if has_failed else "finished",
            _("Failed") if has_failed else _("Finished"),
            export.finished_at,
        ),
        ("expires", expires, export.expires_at),
        ("deleted", _("File deleted"), export.file_deleted_at),
    ]
    for kind, label, time in found:
        if time is not None:
            yield Step(kind, label, time)


def _count(export: QueryExport) -> dict[str, int]:
    return {"number": export.attempt}


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
        match = ERROR_START.match(self.text)
        text = self.text[match.end() :] if match else self.text
        if len(text) <= MAX_MESSAGE_LENGTH:
            return text
        return f"{text[:MAX_MESSAGE_LENGTH]}…"

    @property
    def duration(self) -> str | None:
        if self.started_at is None or self.ended_at is None:
            return None
        return show_duration(max(self.ended_at - self.started_at, timedelta(0)))


def list_failures(export: QueryExport, *, is_public: bool = False) -> list[Failure]:
    """Return the attempts that failed, the last one first; for the public without SQL and data."""
    earlier = export.failures if isinstance(export.failures, list) else []
    failures = [_read_failure(each) for each in earlier if isinstance(each, dict)]
    if export.state == ExportState.FAIL:
        attempt = export.attempt or None
        last = Failure(attempt, export.start_time, export.finished_at, export.error_log)
        failures.append(last)
    if is_public:
        failures = [replace(each, text=each.reason or _("The export failed.")) for each in failures]
    return failures[::-1]


def _read_failure(failure: dict[str, Any]) -> Failure:
    attempt = failure.get("attempt")
    return Failure(
        attempt=attempt if isinstance(attempt, int) else None,
        started_at=_read_time(failure.get("started_at")),
        ended_at=_read_time(failure.get("ended_at")),
        text=str(failure.get("error", "")),
    )


def _read_time(value: object) -> datetime | None:
    """Return the time that JSON has as text, or that is one still."""
    if not isinstance(value, str):
        return value if isinstance(value, datetime) else None
    try:
        return parse_datetime(value)
    except ValueError:
        return None

"""List exports on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db.models import DurationField, ExpressionWrapper, F
from django.utils import timezone

from django_infra.db.functions import DatabaseTime
from django_infra.exporter.management.arguments import read_count
from django_infra.exporter.management.terminal import show_line
from django_infra.exporter.models import ExportState, QueryExport

UNFINISHED = {ExportState.SCHEDULED, ExportState.PROCESSING}
LIMIT = 20

COLUMNS = {
    "id": "ID",
    "name": "NAME",
    "state": "STATE",
    "percent": "PERCENT",
    "rows": "ROWS",
    "rows_per_second": "ROWS/S",
    "age": "AGE",
    "heartbeat_age": "HEARTBEAT",
    "owner": "OWNER",
}
NOTHING = "-"


class Command(BaseCommand):
    help = "List exports, the newest first: state, progress, speed, age and the last heartbeat."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--state", action="append", choices=ExportState.values, help="Only these; repeatable."
        )
        parser.add_argument(
            "--limit", type=read_count, default=LIMIT, help="How many; %(default)s unless told."
        )
        parser.add_argument(
            "--json", action="store_true", help="Write a JSON array, times in seconds."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        # By the database's clock on both sides, as heartbeats are.
        heartbeat_age = ExpressionWrapper(
            DatabaseTime() - F("heartbeat_at"), output_field=DurationField()
        )
        exports = QueryExport.objects.select_related("created_by")
        exports = exports.annotate(heartbeat_age=heartbeat_age)
        if options["state"]:
            exports = exports.filter(state__in=options["state"])
        now = timezone.now()
        facts = [describe(export, now) for export in exports[: options["limit"]]]
        if options["json"]:
            self.stdout.write(json.dumps(facts, indent=2))
            return
        rows = [COLUMNS]
        for each in facts:
            shown = {
                name: NOTHING if value is None else FORMATS.get(name, str)(value)
                for name, value in each.items()
            }
            rows.append({name: show_line(text) for name, text in shown.items()})
        for line in lay_out(rows):
            self.stdout.write(line)


def describe(export: Any, now: datetime) -> dict[str, Any]:
    """Return what is to be known of an export, times in seconds."""
    # Only what is unfinished is expected to have a heartbeat.
    is_unfinished = export.state in UNFINISHED
    time = export.job_time
    if export.state == ExportState.PROCESSING and export.start_time:
        time = now - export.start_time
    has_speed = time and export.row_count is not None
    return {
        "id": export.id,
        "name": export.name or export.model_label,
        "state": export.state,
        "percent": export.progress_percent,
        "rows": export.row_count,
        "rows_per_second": round(export.row_count / time.total_seconds(), 1) if has_speed else None,
        "age": _get_seconds(now - export.created_at),
        "heartbeat_age": _get_seconds(export.heartbeat_age) if is_unfinished else None,
        "file": export.file.name or None,
        "error": export.error_log or None,
        "owner": export.created_by.get_username() if export.created_by else None,
    }


def _get_seconds(time: timedelta | None) -> float | None:
    return None if time is None else round(time.total_seconds(), 1)


def format_time(seconds: float) -> str:
    """Return the two largest units."""
    # Whoever looks for a stuck export needs the order of magnitude.
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days:.0f}d {hours % 24:.0f}h"
    if hours:
        return f"{hours:.0f}h {minutes % 60:.0f}m"
    return f"{minutes:.0f}m {int(seconds % 60)}s" if minutes else f"{int(seconds)}s"


def lay_out(rows: Sequence[dict[str, str]]) -> Iterator[str]:
    """Yield lines with the columns one below the other."""
    widths = {name: max(len(row[name]) for row in rows) for name in COLUMNS}
    for row in rows:
        cells = [
            row[name].rjust(width) if name in FORMATS else row[name].ljust(width)
            for name, width in widths.items()
        ]
        yield "  ".join(cells).rstrip()


FORMATS: dict[str, Callable[[Any], str]] = {
    "percent": "{}%".format,
    "rows": "{:,}".format,
    "rows_per_second": "{:,.0f}".format,
    "age": format_time,
    "heartbeat_age": format_time,
}

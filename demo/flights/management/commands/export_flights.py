"""Export the flights, and show how that goes."""

from __future__ import annotations

from argparse import ArgumentTypeError
from itertools import islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_infra.exporter.export import export_queryset
from django_infra.exporter.models import QueryExport
from flights.models import Flight
from flights.reports import PUNCTUALITY_HEADERS, punctuality
from flights.watching import watch_export

PREVIEW_LINES = 5


def positive_int(text: str) -> int:
    """Read a whole number from 1 on."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1 on.")
    return number


class Command(BaseCommand):
    help = "Export all flights, each beside what its delay is to be compared with, and watch it."
    requires_migrations_checks = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--limit", type=positive_int, help="Export this many flights at most.")

    def handle(self, *, limit: int | None, **options: Any) -> None:
        if not Flight.objects.exists():
            raise CommandError("No flights are loaded. Load them: python manage.py load_flights")
        with watch_export():
            export = export_queryset(punctuality()[:limit], PUNCTUALITY_HEADERS)
        # What the database says now, not what this process remembers.
        export.refresh_from_db()
        self.describe(export)
        self.stdout.write(f"\nThe first {PREVIEW_LINES} lines:")
        with export.file.open() as file:
            for line in islice(file, PREVIEW_LINES):
                self.stdout.write(line.decode().rstrip("\r\n"))
        self.stdout.write("\nTry next: make demo-site, then open http://127.0.0.1:8000/")

    def describe(self, export: QueryExport) -> None:
        """Print what the row of the export tells."""
        seconds = export.job_time.total_seconds()
        facts = {
            "Export": export.id,
            "State": export.get_state_display(),
            "Start time": f"{export.start_time:%Y-%m-%d %H:%M:%S %Z}",
            "Job time": f"{seconds:.2f} s",
            "Rows": f"{export.row_count:,}",
            "Rows per second": f"{export.row_count / seconds:,.0f}",
            "Size": f"{export.file_size:,} bytes",
            "Percent": export.progress_percent,
            "File": export.file.path,
        }
        for name, fact in facts.items():
            self.stdout.write(f"{name:<16} {fact}")

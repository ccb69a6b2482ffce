from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from django_infra.exporter.export import export_queryset, schedule_export
from django_infra.exporter.jobs import run_job
from django_infra.exporter.models import QueryExport
from flights.models import Airline, Flight

JOBS: list[tuple[str, dict[str, Any]]] = [
    ("punctuality", {"since": "2013-12-01"}),
    ("punctuality", {"destination": "LAX"}),
    ("checked-delays", {"longest": 1_130}),
    ("weather-now", {}),
]
SLOW = ("slow-flights", {"rows": 20_000, "seconds": 60})


class Command(BaseCommand):
    help = "Make exports to look at, some of which fail, unless there are any."
    requires_migrations_checks = True

    def handle(self, *, verbosity: int, **options: Any) -> None:
        if QueryExport.objects.exists():
            if verbosity > 0:
                self.stdout.write("There are exports already.")
            return
        if not Flight.objects.exists():
            raise CommandError("No flights are loaded. Load them: python manage.py load_flights")
        # They fail as they should: in their rows, and not on the screen.
        logging.getLogger("django_infra.exporter").setLevel(logging.CRITICAL)
        self._make()
        if verbosity > 0:
            failed = QueryExport.objects.failed().count()
            count = QueryExport.objects.count()
            self.stdout.write(f"Made {count} exports; {failed} have failed or were cancelled.")

    def _make(self) -> None:
        user = get_user_model().objects.filter(username="demo").first()
        export_queryset(Airline.objects.all(), ["code", "name"])
        for name, params in JOBS:
            export = schedule_export(name, params, created_by=user)
            with suppress(Exception):
                run_job(export.id)
        name, params = SLOW
        schedule_export(name, params, created_by=user).cancel(by=user)

"""Make exports of each kind, so that there is something to look at."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from django_infra.exporter.export import export_queryset, schedule_export
from django_infra.exporter.jobs.worker import run_job
from django_infra.exporter.models import ExportState, QueryExport
from flights.models import Airline, Flight

# The named exports, their parameters, and how they end.
JOBS: list[tuple[str, dict[str, Any], ExportState]] = [
    ("punctuality", {"since": "2013-12-01"}, ExportState.SUCCESS),
    ("punctuality", {"destination": "LAX"}, ExportState.SUCCESS),
    ("checked-delays", {"longest": 1_130}, ExportState.FAIL),
    ("weather-now", {}, ExportState.FAIL),
    ("slow-flights", {"rows": 20_000, "seconds": 60}, ExportState.FAIL),
]
CANCELLED = "slow-flights"


class Command(BaseCommand):
    help = "Make the exports to look at that are missing; some of them fail."
    requires_migrations_checks = True

    def handle(self, *, verbosity: int, **options: Any) -> None:
        if not Flight.objects.exists():
            raise CommandError("No flights are loaded. Load them: python manage.py load_flights")
        # They fail as they should: in their rows, and not on the screen.
        logging.getLogger("django_infra.exporter").setLevel(logging.CRITICAL)
        made = self.make_missing()
        if verbosity > 0 and made:
            failed = QueryExport.objects.failed().filter(pk__in=made).count()
            self.stdout.write(f"Exports made: {len(made)}. Failed or cancelled of these: {failed}.")
        elif verbosity > 0:
            self.stdout.write("The exports to look at are there already.")

    def make_missing(self) -> list[str]:
        """Make what neither this command nor a user has made, and return the ids."""
        user = get_user_model().objects.filter(username="demo").first()
        exports = list(QueryExport.objects.values_list("name", "params", "state"))
        airlines = QueryExport.objects.filter(name="", model_label=Airline._meta.label)
        made = []
        if not airlines.succeeded().exists():
            made.append(export_queryset(Airline.objects.all(), ["code", "name"]).pk)
        for name, params, state in JOBS:
            # One that an earlier run did not finish does not show what it is to show.
            if (name, params, state) in exports:
                continue
            export = schedule_export(name, params, created_by=user)
            made.append(export.pk)
            if name == CANCELLED:
                export.cancel(by=user)
            else:
                with suppress(Exception):
                    run_job(export.pk)
        return made

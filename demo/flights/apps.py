from __future__ import annotations

from django.apps import AppConfig
from django.db.backends.signals import connection_created

from flights.slowness import add_pause


class FlightsConfig(AppConfig):
    name = "flights"
    verbose_name = "Flights from New York City, 2013"

    def ready(self) -> None:
        connection_created.connect(add_pause)

from __future__ import annotations

from django.apps import AppConfig


class FlightsConfig(AppConfig):
    name = "flights"
    verbose_name = "Flights from New York City, 2013"

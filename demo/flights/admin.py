"""Show the flights in the admin, with the action that exports a change list."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from django_infra.exporter.admin import export_selected
from flights.models import Airline, Airport, Flight, Plane, Weather
from flights.reports import SPEED

# To every change list of the site; ``actions = [export_selected]`` adds it to one.
admin.site.add_action(export_selected)


@admin.register(Airline)
class AirlineAdmin(admin.ModelAdmin):
    list_display = ["code", "name"]
    search_fields = ["code", "name"]


@admin.register(Airport)
class AirportAdmin(admin.ModelAdmin):
    list_display = ["faa", "name", "latitude", "longitude", "altitude", "time_zone"]
    list_filter = ["time_zone", "dst"]
    search_fields = ["faa", "name"]


@admin.register(Plane)
class PlaneAdmin(admin.ModelAdmin):
    list_display = ["tailnum", "manufacturer", "model", "year", "seats"]
    list_filter = ["type", "engine"]
    search_fields = ["tailnum", "manufacturer", "model"]


@admin.register(Weather)
class WeatherAdmin(admin.ModelAdmin):
    list_display = ["origin", "time_hour", "temperature", "wind_speed", "precipitation"]
    list_filter = [("origin", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["origin"]
    search_fields = ["=origin__faa"]
    date_hierarchy = "time_hour"
    autocomplete_fields = ["origin"]


@admin.register(Flight)
class FlightAdmin(admin.ModelAdmin):
    list_display = [
        "date",
        "airline",
        "number",
        "origin",
        "destination",
        "plane",
        "departure_delay",
        "arrival_delay",
        "speed",
    ]
    list_filter = [("origin", admin.RelatedOnlyFieldListFilter), "airline"]
    list_select_related = ["airline", "origin", "destination", "plane"]
    search_fields = ["=number", "=plane__tailnum", "=destination__faa"]
    date_hierarchy = "date"
    autocomplete_fields = ["airline", "plane", "origin", "destination"]
    raw_id_fields = ["weather"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Flight]:
        return super().get_queryset(request).annotate(speed=SPEED)

    @admin.display(description="speed (mph)", ordering="speed")
    def speed(self, flight: Flight) -> float | None:
        # The annotation, which the type of a flight knows nothing of.
        return flight.speed  # type: ignore[attr-defined]

"""Register the named exports of the demo."""

from __future__ import annotations

from datetime import date
from typing import Any

from django import forms
from django.db.models import ExpressionWrapper, F, QuerySet, Subquery
from django.db.models.functions import Coalesce

from django_infra.exporter.registry import register
from flights.models import Airline, Airport, Flight
from flights.reports import PUNCTUALITY_HEADERS, punctuality
from flights.slowness import Pause
from flights.troubles import CheckedDelayField, StationField


class FlightsForm(forms.Form):
    airline = forms.ModelChoiceField(Airline.objects.all(), required=False)
    destination = forms.ModelChoiceField(
        Airport.objects.all(), required=False, help_text="The code of an airport, such as LAX."
    )
    since = forms.DateField(required=False, help_text="A day in 2013.")

    def clean_since(self) -> date | None:
        since: date | None = self.cleaned_data["since"]
        if since is not None and since.year != 2013:
            raise forms.ValidationError("All flights are of 2013.")
        return since


@register(
    "punctuality",
    verbose_name="Flights and their delays",
    description="Each flight beside what its delay is to be compared with.",
    values=PUNCTUALITY_HEADERS,
    permission="flights.view_flight",
    form_class=FlightsForm,
)
def flights(params: dict[str, Any], user: Any) -> QuerySet[Flight]:
    found = punctuality()
    if params["airline"]:
        found = found.filter(airline=params["airline"])
    if params["destination"]:
        found = found.filter(destination=params["destination"])
    if params["since"]:
        found = found.filter(date__gte=params["since"])
    return found.order_by("scheduled_departure", "pk")


class SlowForm(forms.Form):
    rows = forms.IntegerField(min_value=1, max_value=300_000, initial=20_000)
    seconds = forms.IntegerField(min_value=0, max_value=3600, initial=60)


@register(
    "slow-flights",
    verbose_name="Flights, slowly",
    description="As many flights in as many seconds as you say, to watch and to cancel.",
    values={"date": "Date", "airline__name": "Airline", "number": "Flight", "waited": "Seconds"},
    permission="flights.view_flight",
    form_class=SlowForm,
)
def slow_flights(params: dict[str, Any], user: Any) -> QuerySet[Flight]:
    waited = Pause(params["seconds"] / params["rows"])
    # In this order SQLite reads the table as it lies, and does not wait for all rows to sort them.
    found = Flight.objects.order_by("pk")
    # To count the rows of a slice would take as long as to read them.
    last = found.values("pk")[params["rows"] - 1 : params["rows"]]
    return found.annotate(waited=waited).filter(pk__lte=Coalesce(Subquery(last), 2**31))


class DelayForm(forms.Form):
    longest = forms.IntegerField(
        min_value=0, initial=1_130, help_text="In minutes; a longer delay is taken for a mistake."
    )


@register(
    "checked-delays",
    verbose_name="Delays, checked",
    description="Each flight's delay. It fails on the first one that is longer than you say.",
    values={"date": "Date", "airline__name": "Airline", "number": "Flight", "delay": "Delay"},
    permission="flights.view_flight",
    form_class=DelayForm,
)
def checked_delays(params: dict[str, Any], user: Any) -> QuerySet[Flight]:
    delay = ExpressionWrapper(F("departure_delay"), CheckedDelayField(params["longest"]))
    return Flight.objects.annotate(delay=delay).order_by("-scheduled_departure", "pk")


@register(
    "weather-now",
    verbose_name="Airports and their weather now",
    description="It asks a weather station that does not answer, and is tried again for that.",
    values={"faa": "Airport", "weather_now": "Weather"},
    permission="flights.view_airport",
)
def weather_now(params: dict[str, Any], user: Any) -> QuerySet[Airport]:
    return Airport.objects.annotate(weather_now=ExpressionWrapper(F("faa"), StationField()))

from __future__ import annotations

from datetime import date
from typing import Any

from django import forms
from django.db.models import QuerySet

from django_infra.exporter.registry import register
from flights.models import Airline, Airport, Flight
from flights.reports import PUNCTUALITY_HEADERS, punctuality


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

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet

from django_infra.exporter.registry import register
from flights.models import Airline, Airport, Flight
from flights.reports import PUNCTUALITY_HEADERS, punctuality


class FlightsForm(forms.Form):
    airline = forms.ModelChoiceField(Airline.objects.all(), required=False)
    destination = forms.ModelChoiceField(Airport.objects.all(), required=False)
    since = forms.DateField(required=False)


@register(
    "punctuality",
    verbose_name="Flights, and what their delays are to be compared with",
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

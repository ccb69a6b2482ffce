"""Build the querysets that the demo exports."""

from __future__ import annotations

from django.db.models import Avg, F, OuterRef, QuerySet, Subquery, Window
from django.db.models.functions import Rank, Round

from flights.models import Flight

PUNCTUALITY_HEADERS = {
    "airline__name": "Airline",
    "number": "Flight",
    "origin_id": "From",
    "destination_id": "To",
    "destination__name": "Destination",
    "scheduled_departure": "Scheduled departure",
    "departure": "Departure",
    "departure_delay": "Departure delay (min)",
    "delay_rank": "Rank by delay",
    "arrival_delay": "Arrival delay (min)",
    "airline_delay": "Airline's mean arrival delay (min)",
    "speed": "Speed (mph)",
    "plane_id": "Plane",
    "plane__manufacturer": "Manufacturer",
    "plane__year": "Year built",
    "weather__temperature": "Temperature (°F)",
    "wind": "Wind (mph)",
}

SPEED = Round(F("distance") * 60.0 / F("air_time"), 1)


def punctuality() -> QuerySet[Flight]:
    """Return every flight beside the other flights of its airport and day.

    It has no order, so that a database can send the first row before it has computed the last.
    """
    airline_that_day = Flight.objects.filter(
        origin=OuterRef("origin"), date=OuterRef("date"), airline=OuterRef("airline")
    )
    return Flight.objects.annotate(
        speed=SPEED,
        delay_rank=Window(
            Rank(),
            partition_by=["origin", "date"],
            order_by=F("departure_delay").desc(nulls_last=True),
        ),
        wind=Round(F("weather__wind_speed"), 1),
        airline_delay=Subquery(
            airline_that_day.values("airline").values(mean=Round(Avg("arrival_delay"), 1))
        ),
    )

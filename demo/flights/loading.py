"""Store the rows of the data set in the database, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from functools import cache
from itertools import islice
from typing import Any, TypeVar

from django.db import connection, models

from flights.dataset import Row, read_table
from flights.models import Airline, Airport, Flight, Plane, Weather

BATCH_SIZE = 5_000

WeatherKeys = dict[tuple[str, datetime], int]  # by origin and hour

T = TypeVar("T")
M = TypeVar("M", bound=models.Model)


def delete_all() -> None:
    """Delete every row of the five tables, those that point to others first."""
    for model in (Flight, Weather, Plane, Airport, Airline):
        model._default_manager.all().delete()


def load_airlines() -> None:
    """Store the airlines."""
    _store(Airline, make_airline, read_table("airlines"))


def load_airports() -> None:
    """Store the airports."""
    _store(Airport, make_airport, read_table("airports"))


def load_planes() -> None:
    """Store the planes."""
    _store(Plane, make_plane, read_table("planes"))


def load_weather() -> None:
    """Store the weather; the airports must be there."""
    _store(Weather, make_weather, read_table("weather"))


def load_flights(rows: Iterable[Row]) -> None:
    """Store the flights; all other tables must be there.

    No flight is lost: the 721 planes and 4 airports that flights name and the tables lack become
    rows that hold their key alone. 2,512 flights name no plane, and 1,556 have no weather report.
    """
    planes, airports = _get_keys(Plane), _get_keys(Airport)
    reports = Weather.objects.values_list("pk", "origin_id", "time_hour").iterator()
    weather = {(origin, hour): key for key, origin, hour in reports}
    for batch in _batches(rows):
        flights = [make_flight(row, weather) for row in batch]
        _store_missing(Plane, planes, {flight["plane_id"] for flight in flights} - {None})
        _store_missing(Airport, airports, {flight["destination_id"] for flight in flights})
        _insert(Flight, flights)


def _store(model: type[M], build: Callable[[Row], M], rows: Iterable[Row]) -> None:
    for batch in _batches(rows):
        model._default_manager.bulk_create([build(row) for row in batch])


def _get_keys(model: type[models.Model]) -> set[str]:
    return set(model._default_manager.values_list("pk", flat=True))


def _store_missing(model: type[models.Model], stored: set[str], named: set[str]) -> None:
    missing = sorted(named - stored)
    model._default_manager.bulk_create([model(pk=key) for key in missing])
    stored.update(missing)


def _insert(model: type[models.Model], rows: list[dict[str, Any]]) -> None:
    """Insert rows that map attribute names to values, without a model instance for each.

    bulk_create takes more than twice as long for the flights: it asks a field for the database's
    form of a value 5.4 million times, where only dates and times have another one.
    """
    by_name = {field.attname: field for field in model._meta.concrete_fields}
    fields = [by_name[name] for name in rows[0]]
    # What turns the value of a field into the one that the database takes.
    by_type = {
        "DateField": connection.ops.adapt_datefield_value,
        "DateTimeField": connection.ops.adapt_datetimefield_value,
        "TimeField": connection.ops.adapt_timefield_value,
    }
    adapters = [by_type.get(field.get_internal_type(), lambda value: value) for field in fields]
    quote = connection.ops.quote_name
    columns = ", ".join(quote(field.column) for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({marks})",
            [
                [adapt(value) for adapt, value in zip(adapters, row.values(), strict=True)]
                for row in rows
            ],
        )


def _batches(rows: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, BATCH_SIZE)):
        yield batch


def make_airline(row: Row) -> Airline:
    return Airline(code=row["carrier"], name=row["name"])


def make_airport(row: Row) -> Airport:
    return Airport(
        faa=row["faa"],
        name=row["name"],
        latitude=_float(row["lat"]),
        longitude=_float(row["lon"]),
        altitude=_int(row["alt"]),
        utc_offset=_int(row["tz"]),
        dst=row["dst"],
        time_zone=row["tzone"] or "",
    )


def make_plane(row: Row) -> Plane:
    return Plane(
        tailnum=row["tailnum"],
        year=_int(row["year"]),
        type=row["type"],
        manufacturer=row["manufacturer"],
        model=row["model"],
        engines=_int(row["engines"]),
        seats=_int(row["seats"]),
        speed=_int(row["speed"]),
        engine=row["engine"],
    )


def make_weather(row: Row) -> Weather:
    return Weather(
        origin_id=row["origin"],
        time_hour=_hour(row["time_hour"]),
        temperature=_float(row["temp"]),
        dew_point=_float(row["dewp"]),
        humidity=_float(row["humid"]),
        wind_direction=_int(row["wind_dir"]),
        wind_speed=_float(row["wind_speed"]),
        wind_gust=_float(row["wind_gust"]),
        precipitation=float(row["precip"]),
        pressure=_float(row["pressure"]),
        visibility=float(row["visib"]),
    )


def make_flight(row: Row, weather: WeatherKeys) -> dict[str, Any]:
    """Return the attributes of a flight by their names."""
    hour = _hour(row["time_hour"])
    scheduled_departure = hour + timedelta(minutes=int(row["minute"]))
    delay = _int(row["dep_delay"])
    return {
        "airline_id": row["carrier"],
        "number": int(row["flight"]),
        "plane_id": row["tailnum"],
        "origin_id": row["origin"],
        "destination_id": row["dest"],
        "weather_id": weather.get((row["origin"], hour)),
        "date": date(int(row["year"]), int(row["month"]), int(row["day"])),
        "time_hour": hour,
        "scheduled_departure": scheduled_departure,
        # The data set has the clock time alone; schedule plus delay agrees with it in every row
        # and has a day and a time zone as well.
        "departure": None if delay is None else scheduled_departure + timedelta(minutes=delay),
        "departure_delay": delay,
        "scheduled_arrival": _clock(row["sched_arr_time"]),
        "arrival": _clock(row["arr_time"]),
        "arrival_delay": _int(row["arr_delay"]),
        "air_time": _int(row["air_time"]),
        "distance": int(row["distance"]),
    }


def _int(cell: str | None) -> int | None:
    return None if cell is None else int(cell)


def _float(cell: str | None) -> float | None:
    return None if cell is None else float(cell)


@cache
def _hour(cell: str) -> datetime:
    return datetime.fromisoformat(cell)


@cache
def _clock(cell: str | None) -> time | None:
    """Read '1' as 00:01, '1745' as 17:45, and '2400', the data set's midnight, as 00:00."""
    if cell is None:
        return None
    hour, minute = divmod(int(cell), 100)
    return time(hour % 24, minute)

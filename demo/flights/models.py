"""Define the tables of the flights, their airports, planes and weather."""

from __future__ import annotations

from django.db import models


class Airline(models.Model):
    code = models.CharField("carrier code", max_length=2, primary_key=True)
    name = models.CharField(max_length=64)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Airport(models.Model):
    """An airport; of a few that only flights name, nothing but the code is known."""

    class DaylightSaving(models.TextChoices):
        """The rule by which an airport's clocks change."""

        AMERICAN = "A", "American"
        """Second Sunday of March to first Sunday of November."""
        UNKNOWN = "U", "unknown"
        """The data set does not say."""
        NONE = "N", "none"
        """The clocks never change."""

    faa = models.CharField("FAA code", max_length=3, primary_key=True)
    name = models.CharField(max_length=64, blank=True)
    latitude = models.FloatField(null=True, blank=True)
    longitude = models.FloatField(null=True, blank=True)
    altitude = models.IntegerField("altitude (ft)", null=True, blank=True)
    utc_offset = models.SmallIntegerField("offset from UTC (hours)", null=True, blank=True)
    dst = models.CharField(
        "daylight saving time",
        max_length=1,
        choices=DaylightSaving,
        default=DaylightSaving.UNKNOWN,
    )
    time_zone = models.CharField(max_length=32, blank=True)

    class Meta:
        ordering = ["faa"]

    def __str__(self) -> str:
        return f"{self.faa} {self.name}".rstrip()


class Plane(models.Model):
    """An aircraft; of many that only flights name, nothing but the tail number is known."""

    tailnum = models.CharField("tail number", max_length=6, primary_key=True)
    year = models.PositiveSmallIntegerField("year built", null=True, blank=True)
    type = models.CharField(max_length=32, blank=True)
    manufacturer = models.CharField(max_length=32, blank=True)
    model = models.CharField(max_length=32, blank=True)
    engines = models.PositiveSmallIntegerField(null=True, blank=True)
    seats = models.PositiveSmallIntegerField(null=True, blank=True)
    speed = models.PositiveSmallIntegerField("cruising speed (mph)", null=True, blank=True)
    engine = models.CharField("engine type", max_length=32, blank=True)

    class Meta:
        ordering = ["tailnum"]

    def __str__(self) -> str:
        return self.tailnum


class Weather(models.Model):
    """What one airport's weather station measured in one hour."""

    # The unique constraint below begins with origin, so its index serves both.
    origin = models.ForeignKey(Airport, models.PROTECT, related_name="weather", db_index=False)
    time_hour = models.DateTimeField("hour")
    temperature = models.FloatField("temperature (°F)", null=True, blank=True)
    dew_point = models.FloatField("dew point (°F)", null=True, blank=True)
    humidity = models.FloatField("relative humidity (%)", null=True, blank=True)
    wind_direction = models.PositiveSmallIntegerField("wind direction (°)", null=True, blank=True)
    wind_speed = models.FloatField("wind speed (mph)", null=True, blank=True)
    wind_gust = models.FloatField("wind gust (mph)", null=True, blank=True)
    precipitation = models.FloatField("precipitation (in)")
    pressure = models.FloatField("pressure (mbar)", null=True, blank=True)
    visibility = models.FloatField("visibility (mi)")

    class Meta:
        verbose_name_plural = "weather"
        constraints = [
            models.UniqueConstraint(fields=["origin", "time_hour"], name="weather_hour_uniq"),
        ]

    def __str__(self) -> str:
        return f"{self.origin_id} {self.time_hour:%Y-%m-%d %H:%M}"


class Flight(models.Model):
    """One scheduled departure from New York City; a cancelled flight has no actual times."""

    # The constraint and the indexes below begin with airline and origin and serve these two keys.
    airline = models.ForeignKey(Airline, models.PROTECT, related_name="flights", db_index=False)
    number = models.PositiveSmallIntegerField("flight number")
    plane = models.ForeignKey(Plane, models.PROTECT, related_name="flights", null=True, blank=True)
    origin = models.ForeignKey(Airport, models.PROTECT, related_name="departures", db_index=False)
    destination = models.ForeignKey(Airport, models.PROTECT, related_name="arrivals")
    weather = models.ForeignKey(
        Weather,
        models.PROTECT,
        related_name="flights",
        null=True,
        blank=True,
        help_text="At the origin, in the hour of the scheduled departure.",
    )
    date = models.DateField(help_text="Day of the scheduled departure in New York.")
    time_hour = models.DateTimeField("hour of the scheduled departure")
    scheduled_departure = models.DateTimeField()
    departure = models.DateTimeField(null=True, blank=True)
    departure_delay = models.SmallIntegerField("departure delay (min)", null=True, blank=True)
    scheduled_arrival = models.TimeField(help_text="On the destination's clock.")
    arrival = models.TimeField(null=True, blank=True, help_text="On the destination's clock.")
    arrival_delay = models.SmallIntegerField("arrival delay (min)", null=True, blank=True)
    air_time = models.PositiveSmallIntegerField("time in the air (min)", null=True, blank=True)
    distance = models.PositiveSmallIntegerField("distance (mi)")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["airline", "number", "scheduled_departure"], name="flight_departure_uniq"
            ),
        ]
        indexes = [
            # In this order the flights of an airport and day are ranked without a sort.
            models.Index(
                fields=["origin", "date", "-departure_delay"], name="flight_departure_delay_idx"
            ),
            # It holds all that an airline's mean delay of a day needs: the table is not read.
            models.Index(
                fields=["origin", "date", "airline", "arrival_delay"],
                name="flight_arrival_delay_idx",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.airline_id} {self.number} {self.origin_id}-{self.destination_id} {self.date}"

"""Define fields that cannot read each value, so that a failed export can be looked at."""

from __future__ import annotations

import socket
from typing import Any

from django.db.models import CharField, SmallIntegerField

# Nothing listens there, so an attempt ends at once.
STATION = ("127.0.0.1", 9)


class CheckedDelayField(SmallIntegerField):
    def __init__(self, longest: int) -> None:
        super().__init__(null=True)
        self.longest = longest

    def from_db_value(self, value: int | None, *context: Any) -> int | None:
        if value is not None and value > self.longest:
            raise ValueError(
                f"A flight was {value:,} minutes late, and {self.longest:,} are believed at most."
            )
        return value


class StationField(CharField):
    """What the weather station of an airport says, by the airport's code."""

    def from_db_value(self, code: str, *context: Any) -> str:
        with (
            socket.create_connection(STATION, timeout=1) as station,
            station.makefile("rw") as talk,
        ):
            talk.write(f"{code}\n")
            talk.flush()
            return talk.readline().strip()

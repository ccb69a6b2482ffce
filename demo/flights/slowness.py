"""Give SQLite a function that takes its time, so that an export can be watched."""

from __future__ import annotations

import time
from typing import Any

from django.db.models import FloatField, Func


class Pause(Func):
    """Wait for so many seconds, once for each row."""

    function = "pause"
    output_field = FloatField()


def add_pause(connection: Any, **kwargs: Any) -> None:
    """Teach a new connection the function."""
    if connection.vendor == "sqlite":
        # It is not deterministic: SQLite would call such a one once for all rows.
        connection.connection.create_function("pause", 1, pause)


def pause(seconds: float) -> float:
    """Wait for so many seconds, and return them."""
    time.sleep(seconds)
    return seconds

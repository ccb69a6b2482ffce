"""An expression that takes the server its time."""

from __future__ import annotations

from django.db import connection
from django.db.models import Func, IntegerField, TextField, Value


class Nap(Func):
    """A value that takes so many seconds a row."""

    def __init__(self, seconds):
        if connection.vendor == "postgresql":
            template, output_field = "pg_sleep(%(expressions)s)::text", TextField()
        else:
            template, output_field = "SLEEP(%(expressions)s)", IntegerField()
        super().__init__(Value(seconds), template=template, output_field=output_field)

from __future__ import annotations

from django.db import models


class ReversedField(models.CharField):
    """Text that the database holds backwards."""

    def from_db_value(self, value, expression, connection):
        return value if value is None else value[::-1]

    def get_prep_value(self, value):
        return value if value is None else super().get_prep_value(value)[::-1]


class GrudgingField(models.IntegerField):
    """A number that cannot be read when it is 13."""

    def from_db_value(self, value, expression, connection):
        if value == 13:
            raise ValueError("This number brings bad luck.")
        return value


class QueryingField(models.CharField):
    """Text that is looked up by a query on the connection that reads it."""

    def from_db_value(self, value, expression, connection):
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s", [value])
            return cursor.fetchone()[0]

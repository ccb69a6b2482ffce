"""Find the rows after a row by the columns of the order, and not by counting."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.models import (
    CharField,
    DecimalField,
    Expression,
    F,
    Field,
    FloatField,
    JSONField,
    Model,
    Q,
    QuerySet,
    TextField,
)
from django.db.models.functions import Cast, Left
from django.utils.functional import cached_property

from django_infra.api.ordering import OrderColumn, get_order, is_to_many

NOTHING = Q(pk__in=[])
# Characters of a text by which MySQL surely sorts: it takes 1024 bytes (max_sort_length), and a
# character of utf8mb4 has four.
SORTED_LENGTH = 255


class Keyset:
    """The rows of a queryset in its order; each carries the values that the order goes by."""

    def __init__(self, queryset: QuerySet[Model]) -> None:
        refuse_unpageable(queryset)
        self.columns = get_order(queryset)
        refuse_many(queryset, self.columns)
        self.aliases = [f"_order_{number}" for number in range(len(self.columns))]
        self.queryset: QuerySet[Model] = queryset.annotate(
            **{
                alias: column.expression
                for alias, column in zip(self.aliases, self.columns, strict=True)
            }
        )
        vendor = connections[queryset.db].vendor
        # The type of an expression is known once the query has resolved it.
        for index, alias in enumerate(self.aliases):
            column = self.columns[index]
            field = self.queryset.query.annotations[alias].output_field
            if isinstance(field, JSONField):
                raise ImproperlyConfigured(f"Pages cannot be ordered by JSON: {column.expression}.")
            expression = make_comparable(column.expression, field, vendor)
            if expression is not column.expression:
                self.columns[index] = replace(column, expression=expression)
                self.queryset = self.queryset.annotate(**{alias: expression})

    @cached_property
    def order(self) -> str:
        """Tell this order from every other, in all processes."""
        fields = [self.queryset.query.annotations[alias].output_field for alias in self.aliases]
        types = [type(field).__name__ for field in fields]
        text = f"{self.queryset.model._meta.label} {self.columns!r} {types!r}"
        # Some expressions show their address in memory, which no other process has.
        return re.sub(r" at 0x[0-9a-f]+", "", text)

    def get_key_indexes(self) -> list[int]:
        """Return where in a position the primary key is."""
        keys = {
            name
            for field in self.queryset.model._meta.pk_fields
            for name in (field.name, field.attname)
        }
        return [index for index, column in enumerate(self.columns) if column.name in keys]

    def get_position(self, row: object) -> list[object]:
        """Return the values that the order goes by."""
        return [getattr(row, alias) for alias in self.aliases]

    def find_position(self, key: Sequence[object]) -> list[object] | None:
        """Return the position of the row with this primary key."""
        aliases = [self.aliases[index] for index in self.get_key_indexes()]
        rows = self.queryset.order_by().filter(**dict(zip(aliases, key, strict=True)))
        values = rows.values_list(*self.aliases)[:1]
        return next((list(position) for position in values), None)

    def slice(
        self, position: Sequence[object], *, backward: bool = False, count: int
    ) -> QuerySet[Model]:
        """Return rows from a position on, or from the end that they are read from."""
        columns = [column.reverse() for column in self.columns] if backward else self.columns
        rows = self.queryset.order_by(*[column.get_order_by() for column in columns])
        rows.query.standard_ordering = True
        if position:
            rows = rows.filter(self._get_condition(columns, position))
        return rows[:count]

    def _get_condition(self, columns: Sequence[OrderColumn], position: Sequence[object]) -> Q:
        """Return ``a > 1 OR (a = 1 AND (b > 2 OR (b = 2 AND ...)))``, which nulls are a part of.

        A comparison of rows, ``(a, b) > (1, 2)``, knows neither nulls nor mixed directions.
        """
        condition = NOTHING
        for alias, column, value in reversed(
            list(zip(self.aliases, columns, position, strict=True))
        ):
            equal = Q(**{f"{alias}__isnull": True}) if value is None else Q(**{alias: value})
            after = get_rows_after(alias, column, value)
            condition = after if condition is NOTHING else after | (equal & condition)
        first, value = columns[0], position[0]
        if len(columns) > 1 and not first.nullable and value is not None:
            # This says nothing new, but lets the database start in the middle of an index.
            lookup = "lte" if first.descending else "gte"
            condition &= Q(**{f"{self.aliases[0]}__{lookup}": value})
        return condition


def refuse_many(queryset: QuerySet[Model], columns: Sequence[OrderColumn]) -> None:
    """Raise ImproperlyConfigured for an order by what a row may have several of."""
    for column in columns:
        if column.name and is_to_many(queryset.query, column.name):
            raise ImproperlyConfigured(f"{column.name!r} gives a row many places in the order.")


def make_comparable(
    expression: Expression | F, field: Field[Any, Any], vendor: str
) -> Expression | F:
    """Replace what a database orders in another way than it compares it."""
    if vendor == "sqlite" and isinstance(field, DecimalField):
        # It stores them as floats, of which Django shows fifteen digits.
        return Cast(expression, FloatField())
    if vendor == "mysql" and isinstance(field, (CharField, TextField)):
        # It sorts them by their first 1024 bytes, and compares them whole.
        is_short = field.max_length is not None and field.max_length <= SORTED_LENGTH
        return expression if is_short else Left(expression, SORTED_LENGTH)
    return expression


def get_rows_after(alias: str, column: OrderColumn, value: object) -> Q:
    """Return the rows that come after a value of one column, where nulls are at one end."""
    if value is None:
        return Q(**{f"{alias}__isnull": False}) if column.nulls_first else NOTHING
    after = Q(**{f"{alias}__{'lt' if column.descending else 'gt'}": value})
    if column.nullable and not column.nulls_first:
        after |= Q(**{f"{alias}__isnull": True})
    return after


def refuse_unpageable(queryset: Any) -> None:
    """Raise ImproperlyConfigured for a queryset whose rows no condition can follow."""
    query = queryset.query
    obstacles = {
        "values()": queryset._fields is not None,
        f"{query.combinator}()": bool(query.combinator),
        "distinct() on columns": bool(query.distinct_fields),
        "a slice": query.is_sliced,
        "a window function": any(
            getattr(annotation, "contains_over_clause", False)
            for annotation in query.annotations.values()
        ),
    }
    if found := [name for name, is_there in obstacles.items() if is_there]:
        raise ImproperlyConfigured(f"KeysetPagination cannot page a queryset with {found[0]}.")

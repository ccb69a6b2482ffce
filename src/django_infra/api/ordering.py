"""Read the order that a queryset's rows come in, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db.models import F, Model, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import Expression, OrderBy
from django.db.models.functions import Random
from django.db.models.sql import Query


@dataclass(frozen=True)
class OrderColumn:
    """A column to order by; without ``nulls_first`` nulls are last, whatever the direction."""

    expression: Expression | F
    descending: bool
    nulls_first: bool = False
    nullable: bool = True

    @property
    def name(self) -> str | None:
        """The path of a column that is nothing but one."""
        return get_name(self.expression)

    def get_order_by(self) -> OrderBy:
        """Say where nulls go only if there can be some: it may keep an index from being used."""
        nulls_first = self.nullable and self.nulls_first
        nulls_last = self.nullable and not self.nulls_first
        return OrderBy(
            self.expression,
            descending=self.descending,
            nulls_first=nulls_first or None,
            nulls_last=nulls_last or None,
        )

    def reverse(self) -> OrderColumn:
        """Return the column in the other direction, nulls included."""
        return replace(self, descending=not self.descending, nulls_first=not self.nulls_first)


def get_name(expression: object) -> str | None:
    """Return the name of what is only a name."""
    name: str | None = expression.name if isinstance(expression, F) else None  # type: ignore[attr-defined]
    return name


def walk(model: type[Model], path: str) -> Iterator[Any]:
    """Yield the fields along a path, up to the first that is no relation."""
    for name in path.split(LOOKUP_SEP):
        field: Any = model._meta.pk if name == "pk" else model._meta.get_field(name)
        yield field
        if not field.is_relation or field.related_model is None:
            return
        model = field.related_model


def is_to_many(query: Query, path: str) -> bool:
    """Tell whether a path may lead from one row to many."""
    return any(field.many_to_many or field.one_to_many for field in _find_fields(query, path))


def get_order_items(query: Query) -> Sequence[Any]:
    """Return what ``order_by()`` was given, or what stands in the model's Meta."""
    if query.extra_order_by:
        raise ImproperlyConfigured("extra(order_by=...) is not supported: use order_by().")
    if query.order_by or not query.default_ordering:
        return query.order_by
    return query.get_meta().ordering or ()


def get_order(queryset: QuerySet[Model]) -> list[OrderColumn]:
    """Return the columns that the rows are ordered by, with the primary key at the end."""
    columns = resolve_order(queryset.query, get_order_items(queryset.query))
    # After reverse() Django turns each column round when it writes the SQL.
    if not queryset.query.standard_ordering:
        columns = [column.reverse() for column in columns]
    return add_primary_key(queryset.model, columns)


def resolve_order(query: Query, items: Iterable[Any]) -> list[OrderColumn]:
    """Return the columns of what ``order_by()`` takes."""
    return [column for item in items for column in _resolve(query, item)]


def add_primary_key(model: type[Model], columns: list[OrderColumn]) -> list[OrderColumn]:
    """Let the primary key decide between equal rows, in the direction of the last column."""
    # An index serves columns that run in one direction; a part of the key may be there already.
    names = {column.name for column in columns}
    descending = columns[-1].descending if columns else True
    return columns + [
        OrderColumn(F(field.attname), descending, nullable=False)
        for field in model._meta.pk_fields
        if names.isdisjoint({field.name, field.attname})
    ]


def _resolve(query: Query, item: Any) -> Iterator[OrderColumn]:
    """Yield the columns of one item; a relation may be ordered by several."""
    # A name may stand for a relation's own order; an expression stands for itself.
    if isinstance(item, str):
        yield from _resolve_name(query, item.removeprefix("-"), item.startswith("-"))
        return
    order_by = item if isinstance(item, OrderBy) else OrderBy(item)
    expression: Any = order_by.expression
    name = get_name(expression)
    if name == "pk":
        yield from _resolve_primary_key(query, order_by.descending)
        return
    if any(isinstance(part, Random) for part in order_by.flatten()):
        raise ImproperlyConfigured("Rows in random order cannot be paged through.")
    nullable = name is None or _is_nullable(query, name)
    yield OrderColumn(expression, order_by.descending, bool(order_by.nulls_first), nullable)


def _resolve_name(query: Query, name: str, descending: bool) -> Iterator[OrderColumn]:
    if name == "?":
        raise ImproperlyConfigured("Rows in random order cannot be paged through.")
    if name == "pk":
        yield from _resolve_primary_key(query, descending)
        return
    related = _get_ordered_relation(query, name)
    if related is None:
        yield OrderColumn(F(name), descending, nullable=_is_nullable(query, name))
        return
    prefix = f"{name}{LOOKUP_SEP}"
    items: Sequence[Any] = related._meta.ordering or ()
    for item in items:
        if isinstance(item, str):
            sign = "-" if descending != item.startswith("-") else ""
            yield from _resolve(query, f"{sign}{prefix}{item.removeprefix('-')}")
        else:
            # As Django does it: an OrderBy keeps its direction.
            by = item if isinstance(item, OrderBy) else OrderBy(item, descending=descending)
            yield from _resolve(query, by.prefix_references(prefix))


def _resolve_primary_key(query: Query, descending: bool) -> Iterator[OrderColumn]:
    for field in query.get_meta().pk_fields:
        yield OrderColumn(F(field.attname), descending, nullable=False)


def _get_ordered_relation(query: Query, name: str) -> type[Model] | None:
    """Return the model whose own order Django takes for a relation."""
    names = name.split(LOOKUP_SEP)
    fields = _find_fields(query, name)
    if len(fields) < len(names) or not fields[-1].is_relation or names[-1] == "pk":
        return None
    # By the column of its key, author_id, a relation is ordered as any other column.
    is_key = fields[-1].concrete and not fields[-1].many_to_many
    if is_key and fields[-1].attname == names[-1]:
        return None
    related: type[Model] | None = fields[-1].related_model
    return related if related and related._meta.ordering else None


def _find_fields(query: Query, name: str) -> list[Any]:
    """Return the fields along a path; none for annotations and what else has a name."""
    model = query.model
    if model is None or name.split(LOOKUP_SEP)[0] in query.annotations:
        return []
    try:
        return list(walk(model, name))
    except FieldDoesNotExist:
        return []


def _is_nullable(query: Query, name: str) -> bool:
    fields = _find_fields(query, name)
    # Nobody knows it of an annotation, or of a part of a value such as a key in JSON.
    if not fields or len(fields) < len(name.split(LOOKUP_SEP)):
        return True
    return any(
        field.null or field.many_to_many or field.one_to_many or getattr(field, "generated", False)
        for field in fields
    )

"""Select the columns of a queryset that a caller names."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

from django.core.exceptions import EmptyResultSet, FieldError, FullResultSet
from django.db import Error, NotSupportedError
from django.db.models import Model, QuerySet
from django.db.models.expressions import Combinable, OrderBy
from django.db.models.sql import Query
from django.utils.functional import Promise

from django_infra.exporter.exceptions import (
    DuplicateHeader,
    InvalidQuerySet,
    InvalidValues,
    UnknownField,
)

# Rows of any model in any form: objects, tuples or dictionaries.
AnyQuerySet: TypeAlias = QuerySet[Model, object]
Value: TypeAlias = str | Combinable

# What values_list() and annotate() raise for what they are given.
REFUSALS = (FieldError, NotSupportedError, TypeError, ValueError)


@dataclass(frozen=True, init=False)
class Column:
    """One column of the file: a name or an expression, and its header, which may be the name."""

    value: Value
    header: str

    def __init__(self, value: Value, header: str | Promise | None = None) -> None:
        if header is None and isinstance(value, str):
            header = value
        if not isinstance(header, str | Promise):
            raise InvalidValues(f"Column({value!r}) has the header {header!r}, which is not text.")
        if not isinstance(value, str) and not _is_expression(value):
            raise InvalidValues(f"Column({value!r}) needs the name of a field or an expression.")
        object.__setattr__(self, "value", value)
        # A lazy translation stays one until an export reads it, in the language of that moment.
        object.__setattr__(self, "header", header)

    def describe(self) -> dict[str, str | None]:
        """Return its name, None for an expression, and its header, as JSON for any database."""
        name = self.value if isinstance(self.value, str) else None
        # PostgreSQL holds no NUL, not in JSON either.
        return {"name": name, "header": self.header.replace("\0", "\N{REPLACEMENT CHARACTER}")}


Values: TypeAlias = Iterable[str | Column] | Mapping[str, Value]


def _is_expression(value: object) -> bool:
    # An OrderBy can be resolved too, and is no value.
    return hasattr(value, "resolve_expression") and not isinstance(value, OrderBy)


@dataclass(frozen=True)
class Selection:
    """What an export reads: a queryset of its own, and its columns."""

    queryset: AnyQuerySet
    columns: Sequence[Column]
    # Where each column stands in a row of the queryset.
    positions: Sequence[int]

    def describe_columns(self) -> list[dict[str, str | None]]:
        """Return the columns as a row of ours keeps them."""
        return [column.describe() for column in self.columns]

    def copy_query(self) -> Query:
        """Return the query for a compiler, which may add to it."""
        return _copy_query(self.queryset.query)


def _copy_query(query: Query) -> Query:
    """Return a clone that shares nothing; ``Query.clone()`` shares the names of the columns."""
    query = query.clone()
    query.selected = query.selected and query.selected.copy()
    query.combined_queries = tuple(map(_copy_query, query.combined_queries))
    return query


def select(qs: AnyQuerySet, values: Values) -> Selection:
    """Return the selection of the values from a clone of the queryset.

    Raises InvalidQuerySet and InvalidValues; runs no query.
    """
    if not isinstance(qs, QuerySet):
        raise InvalidQuerySet(
            f"Cannot export an object of type {type(qs).__qualname__!r}: qs must be a QuerySet, "
            "such as Author.objects.all(). Raw querysets, lists and generators cannot be exported."
        )
    columns = read_columns(values)
    if qs.query.combinator and (fixed := qs.query.combined_queries[0].selected) is not None:
        return _select_fixed(qs, columns, list(fixed))
    try:
        queryset, positions = _select_values(qs, columns)
    except REFUSALS as error:
        raise _explain(qs, columns, error) from error
    try:
        # Django says some things only when it makes SQL of the expressions: better now than later.
        _copy_query(queryset.query).get_compiler(queryset.db).as_sql()
    except (FieldError, TypeError, ValueError) as error:
        raise InvalidValues(f"Cannot export values from {qs.model._meta.label}: {error}") from error
    except (EmptyResultSet, FullResultSet, Error):
        # No rows is no mistake, and what the database objects to belongs to the run.
        pass
    return Selection(queryset.using(qs.db), columns, positions)


def read_columns(values: Values | None) -> Sequence[Column]:
    """Return the columns with their headers as text; raise InvalidValues for what is none."""
    # A text is a sequence of letters, and a set has no order.
    if values is None or isinstance(values, str | bytes | set | frozenset):
        raise InvalidValues(
            f"values must be an ordered collection of field names, not {reprlib.repr(values)}. "
            "There is no way to ask for all columns: name those that may leave the database."
        )
    if isinstance(values, Mapping):
        columns = [_read_pair(key, value) for key, value in values.items()]
    elif isinstance(values, Iterable):
        columns = [_read_item(value) for value in values]
    else:
        raise InvalidValues(
            f"values must be a list of field names or a mapping, not {reprlib.repr(values)}."
        )
    if not columns:
        raise InvalidValues("values is empty; name at least one field, such as values=['id'].")
    for column in columns:
        try:
            column.header.encode()
        except UnicodeEncodeError as error:
            raise InvalidValues(
                f"values holds the header {column.header!r}, which no file can hold: {error}."
            ) from error
    counts = Counter(column.header for column in columns)
    if duplicates := [header for header, count in counts.items() if count > 1]:
        raise DuplicateHeader(
            f"values gives several columns the header {', '.join(map(repr, duplicates))}; "
            "pass a mapping of names to headers, or Column(value, header), to tell them apart."
        )
    return columns


def _read_item(name: object) -> Column:
    """Return the column of an item in a list, which is a name or a column."""
    if isinstance(name, Column):
        return Column(name.value, str(name.header))
    if hasattr(name, "resolve_expression"):
        raise InvalidValues(
            f"values holds the expression {name!r} without a header; annotate() the queryset "
            "with it, or pass Column(expression, header), or a mapping {header: expression}."
        )
    if not isinstance(name, str):
        raise InvalidValues(f"values holds {name!r}, which is not the name of a field.")
    return Column(name)


def _read_pair(key: object, value: object) -> Column:
    """Return the column of a pair in a mapping, which goes from a name or to an expression."""
    if isinstance(key, str | Promise):
        if _is_expression(value):
            return Column(cast(Combinable, value), str(key))
        if isinstance(key, str) and isinstance(value, str | Promise):
            return Column(key, str(value))
    raise InvalidValues(
        f"values maps {key!r} to {value!r}; a mapping goes from a field name to its header, "
        "or from a header to an expression."
    )


def _select_fixed(qs: AnyQuerySet, columns: Sequence[Column], names: Sequence[str]) -> Selection:
    """Select from a union of ``values()`` querysets, whose columns SQL no longer lets us choose.

    ``values_list()`` on such a queryset returns the columns of the combined querysets, whatever
    it is asked for.
    """
    for column in columns:
        if column.value not in names:
            raise UnknownField(
                f"Cannot export {column.value!r}: the combined querysets select "
                f"{', '.join(map(repr, names))} through values(), and no other column."
            )
    positions = [names.index(str(column.value)) for column in columns]
    return Selection(qs.values_list(*names).using(qs.db), columns, positions)


def _select_values(qs: AnyQuerySet, columns: Sequence[Column]) -> tuple[AnyQuerySet, Sequence[int]]:
    """Return the queryset of the values, and where that of each column stands in its rows."""
    names, expressions = [], {}
    taken = {column.value for column in columns} | {*qs.query.annotations, *qs.query.extra}
    for field in qs.model._meta.get_fields(include_hidden=True):
        taken |= {field.name, getattr(field, "attname", field.name)}
    for position, column in enumerate(columns):
        if isinstance(column.value, str):
            names.append(column.value)
        else:
            # The names that values_list() gives to expressions may hide annotations.
            alias = f"exporter_column_{position}"
            while alias in taken:
                alias += "x"
            names.append(alias)
            expressions[alias] = column.value
    # Django selects a name once, however often it is asked for.
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    selected = (qs.annotate(**expressions) if expressions else qs).values_list(*places)
    return selected, [places[name] for name in names]


def _explain(qs: AnyQuerySet, columns: Sequence[Column], error: Exception) -> InvalidValues:
    """Return the error that names the column at fault."""
    label = qs.model._meta.label
    for column in columns:
        try:
            _select_values(qs, [column])
            continue
        except REFUSALS as column_error:
            reason = str(column_error)
        if not isinstance(column.value, str):
            return InvalidValues(f"Cannot export {column.header!r}: {reason}")
        fields = [field.name for field in qs.model._meta.concrete_fields]
        available = ["pk", *fields, *qs.query.annotation_select, *qs.query.extra_select]
        hint = ""
        if column.header != column.value and column.header in available:
            item = f"{column.header!r}: {column.value!r}"
            hint = f" A mapping goes from a name to its header: {{{item}}}."
        return UnknownField(
            f"Cannot export {column.value!r} from {label}: {reason.rstrip('.')}. "
            f"{label} has: {', '.join(available)}, and paths through relations.{hint}"
        )
    # Each column can be had alone, and not all of them together.
    return InvalidValues(f"Cannot export values from {label}: {error}")

"""Name each row of a change list once, where its query says DISTINCT.

DISTINCT drops rows that are alike in all columns of the page. An export has fewer columns, in which
rows that differ may be alike. So DISTINCT goes, and with it the joins that made doubles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import FieldError
from django.db.models import F, Model, OuterRef, Subquery
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import Col, RawSQL
from django.db.models.options import Options
from django.db.models.sql import Query

from django_infra.exporter.columns import AnyQuerySet
from django_infra.exporter.exceptions import OtherRows


def list_once(change_list: ChangeList) -> AnyQuerySet:
    """Return the rows of the change list, each as often as its page shows it.

    Raises OtherRows where that depends on columns which a join to many rows gives.
    """
    rows: AnyQuerySet = change_list.queryset
    query = rows.query
    if not query.distinct or query.distinct_fields:
        return rows
    many = _find_many(query)
    for name, annotation in query.annotations.items():
        if many and not _is_one(annotation, query, many):
            raise OtherRows.of_doubles(name)
    for item in query.order_by:
        # An item is the name of a field, or an expression with names in it.
        names = (
            [item.lstrip("-+")]
            if isinstance(item, str)
            else [cast(Any, part).name for part in _flatten(item) if isinstance(part, F)]
        )
        for name in names:
            if _leads_to_many(name, query, query.get_meta()):
                raise OtherRows.of_doubles(name)
    if not many or query.group_by is not None:
        # Without such a join, or with groups, there is one row for each key already.
        return _clear_distinct(rows)
    found = _get_base(change_list.root_queryset, rows)
    found = found.filter(pk__in=rows.order_by().values("pk")).order_by(*query.order_by)
    found.query.standard_ordering = query.standard_ordering
    return found


def _get_base(root: AnyQuerySet, rows: AnyQuerySet) -> AnyQuerySet:
    """Return all rows without a double, and with the annotations of those that are looked for."""
    if root.query.annotations == rows.query.annotations and not _find_many(root.query):
        return _clear_distinct(root)
    # The root cannot be taken where a search has annotated the rows anew.
    if rows.query.extra or rows.query.extra_tables:
        raise OtherRows.of_doubles("extra()")
    everything = rows.model._base_manager.using(rows.db).all()
    one = rows.order_by().filter(pk=OuterRef("pk"))
    for name in rows.query.annotations:
        value = one.annotate(annotated_value=F(name)).values("annotated_value")[:1]
        add = everything.annotate if name in rows.query.annotation_select else everything.alias
        everything = add(**{name: Subquery(value)})
    return everything


def _clear_distinct(rows: AnyQuerySet) -> AnyQuerySet:
    rows = rows.all()
    rows.query.distinct = False
    return rows


def _find_many(query: Query) -> set[str]:
    """Return the aliases of tables that can have several rows for one of the model's."""
    many: set[str] = set(query.extra_tables)
    tables: Mapping[str, Any] = query.alias_map
    for alias, table in tables.items():
        if query.alias_refcount[alias] and table.parent_alias is not None:
            join = table.join_field
            if table.parent_alias in many or not (join.many_to_one or join.one_to_one):
                many.add(alias)
    return many


def _is_one(expression: object, query: Query, many: set[str]) -> bool:
    """Tell whether the expression has one value for each row of the model."""
    if getattr(expression, "contains_over_clause", False):
        return False
    if getattr(expression, "contains_aggregate", False):
        return query.group_by is not None
    tables = many | {query.alias_map[alias].table_name for alias in many & query.alias_map.keys()}
    for part in _flatten(expression):
        if isinstance(part, Col) and part.alias in many:
            return False
        if isinstance(part, RawSQL) and any(table in part.sql for table in tables):
            return False
        if isinstance(part, Query) and any(
            column.alias in many for column in part.get_external_cols()
        ):
            return False
    return True


def _flatten(expression: object) -> Iterator[object]:
    """Yield the parts of an expression, of which some are none themselves."""
    if hasattr(expression, "flatten"):
        yield from expression.flatten()
    else:
        yield expression


def _leads_to_many(name: str, query: Query, opts: Options[Model], depth: int = 5) -> bool:
    """Tell whether an ordering by the name joins rows of which there may be several."""
    if name == "?" or name in query.extra or name in query.annotations:
        return False
    try:
        path, field, _targets, _rest = query.names_to_path(name.split(LOOKUP_SEP), opts)
    except FieldError:
        # The name is of a part of an annotation's value, such as a key of its JSON.
        return False
    if any(step.m2m for step in path):
        return True
    is_key = name == "pk" or name.split(LOOKUP_SEP)[-1] in ("pk", getattr(field, "attname", ""))
    if not path or is_key or not depth:
        return False
    # A relation is ordered by as its model is.
    related = path[-1].to_opts
    return any(
        _leads_to_many(each.lstrip("-+"), query, related, depth - 1)
        for each in related.ordering
        if isinstance(each, str)
    )

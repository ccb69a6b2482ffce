"""Narrow a queryset to the columns and relations that are needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import F, Model, Prefetch, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.db.models.query import ModelIterable

from django_infra.api.needs import Needs
from django_infra.api.ordering import get_name, get_order_items


def is_narrowable(queryset: object) -> bool:
    """Tell whether the rows are objects of a model, one for each row of a plain query."""
    if not isinstance(queryset, QuerySet):
        return False
    query: Any = queryset.query
    return (
        getattr(queryset, "_iterable_class", None) is ModelIterable
        and not query.combinator
        and not query.distinct_fields
        and not query.extra_order_by
        and not query.is_sliced
        and not query.select_for_update
        and query.select_related is not True
    )


def make_needs(queryset: QuerySet[Model]) -> Needs:
    """Begin with what is there anyhow, and with the columns that the order goes by."""
    lookups = get_named_lookups(queryset)
    attributes = [lookup.to_attr for lookup in lookups if lookup.to_attr]
    given = {*queryset.query.annotations, *queryset.query.extra_select, *attributes}
    needs = Needs(queryset.model, given=given)
    for name in get_order_names(queryset):
        found = None if name in given else needs.find(name)
        if found is not None and found.concrete and not found.many_to_many:
            needs.add_column(found)
    return needs


def get_named_lookups(queryset: Any) -> list[Prefetch[Any]]:
    """Return what the view prefetches into attributes of the rows themselves."""
    return [
        lookup
        for lookup in queryset._prefetch_related_lookups
        if getattr(lookup, "to_attr", None) and LOOKUP_SEP not in lookup.prefetch_through
    ]


def get_order_names(queryset: QuerySet[Model]) -> Iterator[str]:
    """Yield the names at the beginning of the paths that the order goes by."""
    for item in get_order_items(queryset.query):
        parts = [F(item.removeprefix("-"))] if isinstance(item, str) else flatten(item)
        for part in parts:
            if name := get_name(part):
                yield name.split(LOOKUP_SEP)[0]


def flatten(expression: Any) -> list[Any]:
    """Return the expression with all that it is made of."""
    return list(expression.flatten()) if hasattr(expression, "flatten") else [expression]


def narrow(queryset: Any, needs: Needs) -> QuerySet[Model]:
    """Load what is needed; what the view does for rows that are needed whole stays."""
    keep_selected(needs, queryset.query.select_related or {})
    # Rows that are prefetched into an attribute need the columns that tie them to these.
    for lookup in get_named_lookups(queryset):
        if lookup.to_attr in needs.taken:
            found = needs.find(lookup.prefetch_through)
            needs.tie(found, Needs(found.related_model))
    # A prefetch of the view's own may filter or order, and stays as it is where it is asked for.
    kept = [lookup for lookup in queryset._prefetch_related_lookups if is_kept(needs, lookup)]
    plan = Plan(get_path(lookup) for lookup in kept)
    prefetches = [*kept, *plan.get_prefetches(needs)]
    # Rows that are needed whole keep the defer() or only() of the view.
    has_own_columns = bool(queryset.query.deferred_loading[0])
    if not (needs.whole and has_own_columns):
        queryset = load(queryset, list(plan.get_selected(needs)), is_whole=needs.whole)
    narrowed: QuerySet[Model] = queryset.prefetch_related(None).prefetch_related(*prefetches)
    return narrowed


def load(
    queryset: QuerySet[Model], nodes: list[tuple[tuple[str, ...], Needs]], *, is_whole: bool
) -> QuerySet[Model]:
    """Select the columns of the rows and of those that they are joined with."""
    joined = [LOOKUP_SEP.join(path) for path, _ in nodes if path]
    queryset = queryset.select_related(None)
    queryset = queryset.select_related(*joined) if joined else queryset
    if is_whole:
        return queryset
    columns = [
        LOOKUP_SEP.join((*path, column)) for path, needs in nodes for column in needs.get_columns()
    ]
    return queryset.defer(None).only(*columns)


def keep_selected(needs: Needs, selected: dict[str, Any]) -> None:
    """Go on joining what the view joins, where nobody knows what is read of the rows."""
    for name, inside in selected.items():
        # Rows of which the fields are known are joined only where these lead to them.
        found = needs.find(name) if needs.whole or name in needs.one else None
        if found is None:
            continue
        related = needs.follow(found)
        related.whole = related.whole or needs.whole
        keep_selected(related, inside)


def get_path(lookup: Any) -> str:
    """Return where a lookup puts what it prefetches."""
    path: str = lookup if isinstance(lookup, str) else lookup.prefetch_to
    return path


def is_kept(needs: Needs, lookup: Any) -> bool:
    """Tell whether what the view prefetches is asked for, and not to be had in a narrower way."""
    for name in get_path(lookup).split(LOOKUP_SEP):
        if needs.whole:
            return True
        child = needs.get_child(name)
        if child is None:
            return name in needs.taken
        needs = child
    return not isinstance(lookup, str)


class Plan:
    """How relations are loaded, beside those that the view prefetches in its own way."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.prefetched = set(paths)
        # To prefetch a__b is to prefetch a too.
        self.touched = {
            LOOKUP_SEP.join(names[:length])
            for names in (path.split(LOOKUP_SEP) for path in self.prefetched)
            for length in range(1, len(names) + 1)
        }

    def get_selected(
        self, needs: Needs, path: tuple[str, ...] = (), accessors: tuple[str, ...] = ()
    ) -> Iterator[tuple[tuple[str, ...], Needs]]:
        """Yield what one query loads: the rows, and those that are joined with them."""
        yield path, needs
        for name, related in needs.one.items():
            here = (*accessors, related.accessor)
            if LOOKUP_SEP.join(here) not in self.prefetched:
                yield from self.get_selected(related, (*path, name), here)

    def get_prefetches(
        self, needs: Needs, accessors: tuple[str, ...] = (), *, is_ours: bool = True
    ) -> Iterator[Prefetch[Any] | str]:
        """Yield the lookups for the rest; below a queryset of the view's there are no joins."""
        for related in needs.get_related():
            here = (*accessors, related.accessor)
            path = LOOKUP_SEP.join(here)
            is_joined = is_ours and related in needs.one.values()
            # A path that the view prefetches along has its rows already.
            if related in needs.many.values() and path not in self.touched:
                yield Prefetch(path, get_rows(related))
                continue
            if not is_joined and path not in self.touched:
                yield path
            is_joined = is_joined and path not in self.prefetched
            yield from self.get_prefetches(related, here, is_ours=is_joined)


def get_rows(needs: Needs) -> QuerySet[Model]:
    """Return the rows of a relation, narrowed if the queryset of its manager can be."""
    queryset = needs.model._default_manager.all()
    return narrow(queryset, needs) if is_narrowable(queryset) else queryset

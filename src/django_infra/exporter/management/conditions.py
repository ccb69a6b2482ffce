"""Read the conditions of a command line as values of the fields that they compare."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db.models import Model, Q, QuerySet
from django.db.models.expressions import Col
from django.db.models.lookups import In, IsNull, Range

from django_infra.exporter.management.values import (
    is_range,
    read_boolean,
    read_bounds,
    read_value,
    read_values,
    split,
)


def read_condition(queryset: QuerySet[Model], key: str, text: str) -> Q:
    """Return the condition that a lookup and its text stand for.

    Raises CommandError for a text that cannot be read, and what Django raises for the lookup.
    """
    field, lookup = _find_compared(queryset, key)
    try:
        if issubclass(lookup, IsNull):
            value: object = read_boolean(text)
        elif issubclass(lookup, In):
            value = read_values(field, text)
        elif issubclass(lookup, Range):
            value = read_bounds(field, text)
        elif lookup.lookup_name in {"has_keys", "has_any_keys"}:
            value = split(text)
        elif not lookup.prepare_rhs:
            # Patterns, regular expressions and keys are text, whatever the field is.
            value = text
        elif hasattr(lookup, "type_mapping"):
            raise ValueError("the lookup takes a range; use __range, or __gte and __lt")
        else:
            # A range contains ranges and values, which only the text tells apart.
            is_value = "," not in text and text.strip() != "empty"
            if lookup.lookup_name == "contains" and is_range(field) and is_value:
                field = field.base_field
            value = read_value(field, text)
    except (OverflowError, TypeError, ValueError, ValidationError) as error:
        reason = " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
        raise CommandError(
            f"Cannot read {text!r} of --filter {key}: {reason.rstrip('.')}."
        ) from error
    return Q((key, value))


def _find_compared(queryset: QuerySet[Model], key: str) -> tuple[Any, Any]:
    """Return the field that is compared, and the class of the lookup or None, as filter() does."""
    # Django keeps these methods for itself, and changes them rarely.
    query: Any = queryset.query
    names, path, left = query.solve_lookup_type(key)
    if path:
        _joins, field, targets, _rest = query.names_to_path(path, query.get_meta())
        left = Col(query.get_initial_alias(), targets[0], field)
    *transforms, name = names or ["exact"]
    for each in transforms:
        left = query.try_transform(left, each, names)
    lookup = left.get_lookup(name)
    if lookup is None:
        left = query.try_transform(left, name)
        lookup = left.get_lookup("exact")
    return left.output_field, lookup

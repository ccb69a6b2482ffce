"""Read the words of a command line as what querysets and forms take."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from django.db.models import Model, QuerySet

from django_infra.exporter.management.conditions import read_condition

Pair = tuple[str, str]


def read_pair(text: str) -> Pair:
    """Split ``key=value`` at the first sign."""
    key, sign, value = text.partition("=")
    # An empty value is one, as in name= for the rows without a name.
    if not key or not sign:
        raise argparse.ArgumentTypeError(f"{text!r} must have the form key=value.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        # A shell hands over any bytes, and databases take text alone.
        raise argparse.ArgumentTypeError(f"{text!r} is not text in UTF-8.") from error
    return key, value


def read_count(text: str) -> int:
    """Return a positive number."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} must be a positive integer.")
    return int(text)


def split_names(words: Iterable[str]) -> list[str]:
    """Return the names in words that may hold several, with commas between."""
    return [name.strip() for word in words for name in word.split(",")]


def make_params(pairs: Iterable[Pair]) -> dict[str, str | list[str]]:
    """Return the parameters; a key that comes more than once has a list of values."""
    values: dict[str, list[str]] = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    return {key: found[0] if len(found) == 1 else found for key, found in values.items()}


def narrow(
    queryset: QuerySet[Model], conditions: Iterable[Pair], ordering: Iterable[str]
) -> QuerySet[Model]:
    """Filter and order; raise CommandError, or what Django says of the names."""
    read = [read_condition(queryset, key, text) for key, text in conditions]
    queryset = queryset.filter(*read)
    return queryset.order_by(*names) if (names := split_names(ordering)) else queryset

"""From words of the command line to what querysets and forms take."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models import Q, QuerySet

BOOLEANS = {"true": True, "1": True, "false": False, "0": False}

Pair = tuple[str, str]


def read_pair(text: str) -> Pair:
    """Split ``key=value`` at the first sign."""
    key, sign, value = text.partition("=")
    if not key or not sign:
        raise argparse.ArgumentTypeError(f"{text!r} must have the form key=value.")
    return key, value


def read_condition(text: str) -> Q:
    """Return the condition that ``lookup=value`` stands for; the field converts the value."""
    key, value = read_pair(text)
    return Q((key, _read_value(key, value)))


def read_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} must be a positive integer.")
    return int(text)


def split_names(words: Iterable[str]) -> list[str]:
    """Return the names in words that may hold several, with commas between."""
    return [name.strip() for word in words for name in word.split(",")]


def make_params(pairs: Iterable[Pair]) -> dict[str, Any]:
    """Return the parameters; a key that comes more than once has a list of values."""
    values: dict[str, list[str]] = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    return {key: found[0] if len(found) == 1 else found for key, found in values.items()}


def narrow(
    queryset: QuerySet[Any, Any], conditions: Iterable[Q], ordering: Iterable[str]
) -> QuerySet[Any, Any]:
    """Filter and order; raise what Django says of names and values."""
    with _without_warning_of_naive_times():
        queryset = queryset.filter(*conditions)
    return queryset.order_by(*names) if (names := split_names(ordering)) else queryset


def _read_value(key: str, value: str) -> Any:
    lookup = key.rpartition("__")[2]
    if lookup == "isnull":
        if value.lower() not in BOOLEANS:
            raise argparse.ArgumentTypeError(
                f"{key}={value}: {value!r} must be one of {', '.join(map(repr, BOOLEANS))}."
            )
        return BOOLEANS[value.lower()]
    if lookup not in {"in", "range"}:
        return value
    values = value.split(",")
    if lookup == "range" and len(values) != 2:
        raise argparse.ArgumentTypeError(f"{key}={value}: a range has two values, as in 1,9.")
    return values


@contextmanager
def _without_warning_of_naive_times() -> Iterator[None]:
    """Take a time without offset for one in TIME_ZONE, as who types it does."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* received a naive datetime", RuntimeWarning)
        yield

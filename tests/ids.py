"""Ids of parameters that are the same in every process of a run, as pytest-xdist demands."""

from __future__ import annotations

import re


def make_id(value):
    """Return what repr() says in ASCII, without addresses in memory, and with sets in order."""
    return re.sub(r" at 0x[0-9a-f]+", "", ascii(sorted(value) if is_set(value) else value))


def is_set(value):
    return isinstance(value, set | frozenset)

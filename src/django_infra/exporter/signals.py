"""Announce what becomes of an export.

A receiver gets each signal after the commit, with ``export``.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

from django.db import connections
from django.dispatch import Signal

export_started = Signal()
"""The first attempt has begun."""

export_finished = Signal()
"""The file is in storage."""

export_failed = Signal()
"""The export has failed for good, or was cancelled."""

export_expired = Signal()
"""The file was deleted, since its time was over."""


class Row(Protocol):
    """What a signal needs of an export. The model imports this module, never the reverse."""

    @property
    def database(self) -> str:
        """Alias of the database that holds the row."""


def announce(signal: Signal, export: Row) -> None:
    """Send the signal once the row is committed; an error of a receiver is logged."""
    send = partial(signal.send_robust, sender=type(export), export=export)
    connection = connections[export.database]
    if connection.in_atomic_block:
        connection.on_commit(send, robust=True)
    else:
        send()

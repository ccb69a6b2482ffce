"""What a project may listen to; each signal comes after the commit, with ``export``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.db import connections
from django.dispatch import Signal

if TYPE_CHECKING:
    from django_infra.exporter.models import QueryExport

export_started = Signal()
"""The first attempt has begun."""

export_finished = Signal()
"""The file is in storage."""

export_failed = Signal()
"""The export has failed for good, or was cancelled."""

export_expired = Signal()
"""The file was deleted, since its time was over."""


def announce(signal: Signal, export: QueryExport) -> None:
    """Send the signal once the row is committed; an error of a receiver is logged."""
    send = partial(signal.send_robust, sender=type(export), export=export)
    connection = connections[export.database]
    if connection.in_atomic_block:
        connection.on_commit(send, robust=True)
    else:
        send()

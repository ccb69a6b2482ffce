"""Tell whether a transaction is open, and keep errors from breaking it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections, transaction


def is_in_transaction(using: str) -> bool:
    """Tell whether the thread's connection is in a transaction that somebody else ends.

    This is ``atomic()``, or a connection whose autocommit was switched off.
    """
    connection = connections[using]
    # A connection that is not open yet has no autocommit that could tell.
    return connection.in_atomic_block or (
        connection.connection is not None and not connection.autocommit
    )


@contextmanager
def keep_transaction(using: str) -> Iterator[None]:
    """Keep an error within the block from breaking the transaction that the caller is in."""
    connection = connections[using]
    # Without autocommit SQLite would commit at the end of a savepoint that comes first; its
    # transactions survive errors anyway.
    is_breakable = connection.in_atomic_block or connection.vendor != "sqlite"
    if is_breakable and is_in_transaction(using):
        with transaction.atomic(using=using):
            yield
    else:
        yield

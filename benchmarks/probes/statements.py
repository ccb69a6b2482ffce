"""Count the statements that an export sends beside those that read its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from django.db import connection
from django.db.backends.signals import connection_created

from probes.scratch import export_all
from shop.models import Order


def probe() -> dict[str, Any]:
    """Export all rows, and count the statements of every connection by their first word.

    The connection of this thread is open before, as it is in a worker's second job.
    """
    verbs: Counter[str] = Counter()

    def count(execute: Callable, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "COUNT(" in sql:
            verbs["COUNT"] += 1
        elif Order._meta.db_table not in sql:
            verbs[sql.split()[0].upper()] += 1
        return execute(sql, params, many, context)

    connection.ensure_connection()
    connection.execute_wrappers.append(count)
    connection_created.connect(
        lambda connection, **_: connection.execute_wrappers.append(count), weak=False
    )
    with export_all() as export:
        return {
            "rows": export.row_count,
            "seconds": export.job_time.total_seconds(),
            "statements": verbs.total(),
            "verbs": dict(verbs),
        }

from __future__ import annotations

import pytest
from django.db import connection

COMMITTING = {
    "transaction": True,
    # The tables of other apps are left alone; ``committed_rows`` removes what we put there.
    "available_apps": ["django_infra.exporter"],
}

commits = [pytest.mark.django_db(**COMMITTING), pytest.mark.usefixtures("committed_rows")]
commits_to_both = pytest.mark.django_db(**COMMITTING, databases=["default", "other"])

needs_server = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite has no sessions that could be ended"
)
needs_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="only PostgreSQL can do this"
)
needs_psycopg3 = pytest.mark.skipif(
    connection.vendor != "postgresql" or connection.Database.__name__ != "psycopg",
    reason="psycopg2 has other limits, and does not keep what it cannot read",
)
needs_sqlite = pytest.mark.skipif(
    connection.vendor != "sqlite", reason="only SQLite has journals and databases in memory"
)

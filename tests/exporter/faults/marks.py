from __future__ import annotations

import pytest

COMMITTING = {
    "transaction": True,
    # The tables of other apps are left alone; ``committed_rows`` removes what we put there.
    "available_apps": ["django_infra.exporter"],
}

commits = [pytest.mark.django_db(**COMMITTING), pytest.mark.usefixtures("committed_rows")]
commits_to_both = pytest.mark.django_db(**COMMITTING, databases=["default", "other"])

needs_server = pytest.mark.only_on("postgresql", "mysql")
needs_postgresql = pytest.mark.only_on("postgresql")
# psycopg2 has other limits, and does not keep what it cannot read.
needs_psycopg3 = pytest.mark.only_on("psycopg")
needs_sqlite = pytest.mark.only_on("sqlite")

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from testapp.models import Publisher

# Rows, and by how many bytes the peak may grow from the few to the many.
SMALL, LARGE, GROWTH = 50_000, 250_000, 4 << 20
if os.environ["EXPORTER_TEST_LEVEL"] == "thorough":
    SMALL, LARGE, GROWTH = 100_000, 1_000_000, 10 << 20

# So many rows, made by the server.
FILL = {
    "sqlite": """
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT %s)
        INSERT INTO testapp_publisher (name) SELECT 'Publisher, number ' || n FROM numbers
    """,
    "postgresql": """
        INSERT INTO testapp_publisher (name)
        SELECT 'Publisher, number ' || n FROM generate_series(1, %s) n
    """,
    "mysql": """
        INSERT INTO testapp_publisher (name)
        SELECT CONCAT('Publisher, number ', seq) FROM seq_1_to_1000000 LIMIT %s
    """,
}


def measure_peak(rows, tmp_path):
    # Coverage keeps what it has seen in memory, and would be measured too.
    environ = {key: value for key, value in os.environ.items() if "COVERAGE" not in key}
    result = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("memory.py")),
            str(connection.settings_dict["NAME"]),
            str(rows),
            str(tmp_path),
        ],
        env={
            **environ,
            "DJANGO_SETTINGS_MODULE": "settings",
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return int(result.stdout)


@pytest.mark.external
@pytest.mark.django_db(transaction=True)
def test_memory_does_not_grow_with_the_rows(tmp_path):
    with connection.cursor() as cursor:
        cursor.execute(FILL[connection.vendor], [LARGE])
    assert Publisher.objects.count() == LARGE

    growth = measure_peak(LARGE, tmp_path) - measure_peak(SMALL, tmp_path)

    assert growth < GROWTH

"""Measure how long after the call the temporary file holds the first row."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from django.test import override_settings

from probes import watching
from probes.scratch import export_all
from shop.queries import COLUMNS

REPETITIONS = 3
HEADER_SIZE = len(",".join(COLUMNS) + "\r\n")


def probe() -> dict[str, Any]:
    """Return milliseconds for the first call of the process, and the median of later ones."""
    with TemporaryDirectory(prefix="bench-") as folder, override_settings(EXPORTER_TEMP_DIR=folder):
        first, *later = [measure(folder) for _ in range(REPETITIONS)]
    return {"first_ms": first, "later_ms": median(later)}


def measure(folder: str) -> float:
    """Export all rows while another process watches the folder, since a thread would wait for us.

    Both read one monotonic clock.
    """
    command = [sys.executable, "-S", watching.__file__, folder, str(HEADER_SIZE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
        watcher.stdout.readline()
        started = time.monotonic()
        with export_all():
            seen = float(watcher.stdout.readline())
    return (seen - started) * 1000

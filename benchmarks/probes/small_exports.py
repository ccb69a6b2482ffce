"""Measure a small export beside a loop that writes the same file to the storage."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from statistics import median
from tempfile import TemporaryFile
from typing import Any

from django.core.files import File
from django.core.files.storage import default_storage

from probes.scratch import export_some
from shop.queries import COLUMNS, get_orders

ROWS = 100
WARM_UPS = 20
REPETITIONS = 200


def probe() -> dict[str, Any]:
    """Return the medians in milliseconds of calls that alternate in this process."""
    ours, hand_written = [], []
    for number in range(WARM_UPS + REPETITIONS):
        calls = [(export_with_us, ours), (export_by_hand, hand_written)]
        for export, times in calls if number % 2 else reversed(calls):
            seconds = measure(export)
            if number >= WARM_UPS:
                times.append(seconds)
    return {
        "rows": ROWS,
        "ours_ms": median(ours) * 1000,
        "hand_written_ms": median(hand_written) * 1000,
        "ratio": median(ours) / median(hand_written),
    }


def measure(export: Callable[[], str]) -> float:
    started = time.perf_counter()
    name = export()
    seconds = time.perf_counter() - started
    default_storage.delete(name)
    return seconds


def export_with_us() -> str:
    return export_some(ROWS).file.name


def export_by_hand() -> str:
    with TemporaryFile("w+", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in get_orders()[:ROWS].values_list(*COLUMNS).iterator():
            writer.writerow(row)
        file.seek(0)
        return default_storage.save("small.csv", File(file.buffer))

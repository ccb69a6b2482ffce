"""Count what was skipped, by the reason, and keep the outcome for whoever started the run."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path


def pytest_terminal_summary(terminalreporter, config):
    """Say what was skipped, and what repeats a failure."""
    skipped = Counter(get_reason(report) for report in terminalreporter.stats.get("skipped", []))
    if path := os.environ.get("EXPORTER_OUTCOME"):
        failed = {
            report.nodeid
            for kind in ("failed", "error")
            for report in terminalreporter.stats.get(kind, [])
        }
        outcome = {
            "passed": len(terminalreporter.stats.get("passed", [])),
            "failed": sorted(failed),
            "skipped": skipped,
        }
        Path(path).write_text(json.dumps(outcome))
    for reason, count in skipped.most_common():
        terminalreporter.line(f"skipped {count}: {reason}")
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        seed = config.getoption("randomly_seed", 0)
        terminalreporter.line(f"To repeat order and samples: ARGS=--randomly-seed={seed}")


def get_reason(report):
    _, _, reason = report.longrepr
    return reason.removeprefix("Skipped: ")

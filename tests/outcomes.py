"""Count what was skipped, by the reason, and keep the outcome for whoever started the run."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

from selection import LEFT_OUT


def pytest_terminal_summary(terminalreporter, config):
    """Say what was skipped, and what repeats a failure."""
    skipped = Counter(get_reason(report) for report in terminalreporter.stats.get("skipped", []))
    left_out = config.stash.get(LEFT_OUT, 0)
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
            "left_out": left_out,
        }
        Path(path).write_text(json.dumps(outcome))
    else:
        for reason, count in skipped.most_common():
            terminalreporter.line(f"skipped {count}: {reason}")
        terminalreporter.line(f"left out by the level: {left_out}")
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        seed = config.getoption("randomly_seed", 0)
        terminalreporter.line(f"To repeat order and samples: ARGS=--randomly-seed={seed}")


def get_reason(report):
    _, _, reason = report.longrepr
    return reason.removeprefix("Skipped: ")

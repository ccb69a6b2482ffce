"""The benchmarks run: a few rows, and those contenders that need nothing installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytestmark = pytest.mark.external

RUNNER = Path(__file__).parents[1] / "benchmarks" / "run.py"
CONTENDERS = ["sqlite_cursor", "hand_written", "ours", "ours_unguarded"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    options = ["--rows", "50", "100", "--rounds=1", "--database=sqlite", f"--folder={folder}"]
    result = subprocess.run(
        [sys.executable, RUNNER, *options, *(f"--contender={name}" for name in CONTENDERS)],
        env={key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def test_report_holds_a_row_of_each_contender(folder):
    report = (folder / "report.md").read_text()

    for rows in ["50", "100"]:
        _, _, table = report.partition(f"### SQLite, {rows} rows\n")
        table, _, _ = table.partition("###")
        for label in [
            "Python's sqlite3 into csv.writer",
            "hand-written .iterator()",
            "**django-infra**",
            "**django-infra, formula guard off**",
        ]:
            assert f"\n| {label} | " in table
    assert str(folder) not in report


def test_our_bytes_are_those_of_hand_written_code(folder):
    results = json.loads((folder / "results.json").read_text())

    assert results["differences"]["sqlite"]["ours_unguarded"] == "same bytes"
    assert results["probes"]["sqlite"]["statements"]["rows"] == 100


def test_plot_is_xml(folder):
    plot = ElementTree.parse(folder / "report.svg").getroot()

    texts = {text.text for text in plot.iter("{http://www.w3.org/2000/svg}text")}
    assert "SQLite: wall time" in texts

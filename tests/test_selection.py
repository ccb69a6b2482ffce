"""What a run does with tests that hang, are swept, start processes or belong elsewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.external, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[1]

TESTS = """
import contextlib, subprocess, sys, time
import pytest

def test_before():
    pass

@pytest.mark.timeout(1)
def test_hangs():
    time.sleep(1000)

@pytest.mark.timeout(1, method="thread")
def test_hangs_where_no_signal_helps():
    time.sleep(1000)

def test_starts_a_process():
    with contextlib.suppress(Exception):
        subprocess.run([sys.executable, "-c", ""])

@pytest.mark.external
def test_starts_a_process_and_says_so():
    subprocess.run([sys.executable, "-c", ""])

@pytest.mark.sample(2)
@pytest.mark.parametrize("number", range(9))
def test_is_swept(number):
    pass

@pytest.mark.only_on("postgresql")
def test_is_about_another_database():
    raise AssertionError

@pytest.mark.thorough
def test_takes_long():
    pass

@pytest.mark.parametrize("number", range(3))
def test_misses_something(number):
    pytest.skip("it is not here")

def test_after():
    pass
"""


@pytest.fixture
def run(tmp_path):
    """Run the tests at a level, and return the outcome and what is shown."""
    (tmp_path / "test_examples.py").write_text(TESTS)

    def run(level, *options):
        outcome = tmp_path / "outcome.json"
        environment = {
            **{key: value for key, value in os.environ.items() if "PYTEST_" not in key},
            "DATABASE_URL": "sqlite://",
            "EXPORTER_OUTCOME": str(outcome),
            "EXPORTER_TEST_DIR": str(tmp_path),
            "PYTHONPATH": str(ROOT / "tests"),
        }
        plugins = ["-p", "selection", "-p", "databases", "-p", "outcomes"]
        command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", *plugins]
        shown = subprocess.run(
            [*command, f"--level={level}", *options, tmp_path],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        return json.loads(outcome.read_text()), shown

    return run


def get_names(outcome):
    return {test.partition("::")[2] for test in outcome["failed"]}


def test_a_test_that_hangs_ends_alone_and_by_name(run):
    outcome, _ = run("test", "-n", "2", "--dist=worksteal", "-p", "no:randomly")

    assert get_names(outcome) == {
        "test_hangs",
        "test_hangs_where_no_signal_helps",
        "test_starts_a_process",
    }
    # Before, after, two of the sweep, the one that says that it starts a process, and the other
    # one until its end.
    assert outcome["passed"] == 6
    assert outcome["skipped"] == {"it is not here": 3}
    # The rest of the sweep, and what takes long.
    assert outcome["left_out"] == 7 + 1


def test_the_quick_run_leaves_out_what_needs_more_and_the_thorough_one_nothing(run):
    without_hanging = ["-k", "not hangs", "--randomly-seed=7"]

    quick, shown = run("check", *without_hanging)
    assert (quick["passed"], get_names(quick)) == (5, {"test_starts_a_process"})
    assert "ARGS=--randomly-seed=7" in shown
    thorough, _ = run("thorough", *without_hanging)
    assert (thorough["passed"], get_names(thorough)) == (14, {"test_starts_a_process"})


def test_the_seed_chooses_the_sample(run):
    options = ["-k", "swept", "--collect-only", "-q"]
    shown = [run("test", f"--randomly-seed={seed}", *options)[1] for seed in (1, 1, 2, 3)]
    chosen = [set(re.findall(r"test_is_swept\[(\d)\]", each)) for each in shown]

    assert {len(each) for each in chosen} == {2}
    assert chosen[0] == chosen[1]
    assert chosen[1:] != chosen[1:2] * 3

"""Run the tests on every database that answers, with the brokers and programs found.

    python tests/run.py [check|contract|test|thorough] [arguments for pytest]

- check runs what needs nothing but SQLite.
- contract runs what another driver, Python or Django could change.
- test, the default, runs all that protects a promise, with samples of the sweeps. Without arguments
  for pytest it measures all runs together.
- thorough runs all of everything.

The environment says:

- POSTGRES_URL, MYSQL_URL, REDIS_URL and AMQP_URL: where the servers are.
- DATABASES: which of sqlite, postgresql and mysql to run on; all unless told.
- CHROMIUM: where the browser is, if it is not on the PATH.
- REQUIRE_SERVICES=1: a server that does not answer, no browser or no spreadsheet is a failure,
  and not skipped.
- PSYCOPG=2 and MYSQL_CLIENT=pymysql: PostgreSQL through psycopg2, MariaDB through PyMySQL.
- JOBS: how many processes run tests at the same time. Otherwise it is one more than there are
  processors, since some wait for browsers and workers; in check as many, or 0 for a module.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import dj_database_url
import django
from django.core.exceptions import ImproperlyConfigured
from django.db.utils import ConnectionHandler, Error

import browsers
import spreadsheets
from selection import LEVELS

ROOT = Path(__file__).resolve().parent.parent
URLS = {
    "sqlite": "sqlite://",
    "postgresql": os.environ.get("POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres"),
    "mysql": os.environ.get("MYSQL_URL", "mysql://root@127.0.0.1:3306/test"),
}
CONTRACT = [
    "tests/exporter/admin/test_list.py",
    "tests/exporter/changelists/test_rows.py",
    "tests/exporter/sources",
    "tests/exporter/test_contract.py",
    "tests/exporter/test_faults.py",
    "tests/exporter/jobs/test_pipeline.py",
    "tests/exporter/test_properties.py",
]
PROCESSORS = os.cpu_count() or 1
# Percent of lines and branches, over all databases together.
MIN_COVERAGE = 95
NO_TESTS = 5  # the exit code of pytest


def main(arguments: list[str]) -> int:
    sys.stdout.reconfigure(line_buffering=True)
    level, arguments = split(arguments)
    started = time.monotonic()
    with TemporaryDirectory(prefix="exporter-tests-") as folder:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "settings", "EXPORTER_TEST_DIR": folder}
        # The settings choose the drivers.
        django.setup()
        if level == "check":
            found, missing = ["sqlite"], []
        else:
            found, missing = find_databases()
            missing += find_missing_services()
        is_measured = level == "test" and not arguments
        if is_measured:
            run("coverage", "erase")
        outcomes = {name: run_suite(name, level, arguments, is_measured) for name in found}
    is_covered = not is_measured or report_coverage(is_complete=set(found) == set(URLS))
    is_required = os.environ.get("REQUIRE_SERVICES") == "1"
    failed = [name for name, outcome in outcomes.items() if not outcome.is_good]
    failed += [*([] if is_covered else ["coverage"]), *(missing if is_required else [])]
    if not any(outcome.count for outcome in outcomes.values()):
        failed.append("no test ran")
    report(level, outcomes, failed, time.monotonic() - started)
    return 1 if failed else 0


def split(arguments: list[str]) -> tuple[str, list[str]]:
    """Separate the level from the arguments for pytest."""
    if arguments[:1] == ["contract"]:
        return "test", CONTRACT + arguments[1:]
    if arguments and arguments[0] in LEVELS:
        return arguments[0], arguments[1:]
    return "test", arguments


def find_databases() -> tuple[list[str], list[str]]:
    """Say which databases answer, and return those that do and those that do not."""
    found, missing = [], []
    names = os.environ.get("DATABASES", "").split() or [*URLS]
    if unknown := set(names) - set(URLS):
        sys.exit(f"DATABASES has {min(unknown)!r}; choose from {', '.join(URLS)}.")
    for name in names:
        try:
            print(f"{name}: {read_version(URLS[name])}")
            found.append(name)
        except (Error, ImproperlyConfigured) as error:
            print(f"{name}: not found. {str(error.args[-1]).splitlines()[0]}")
            missing.append(name)
    return found, missing


def find_missing_services() -> list[str]:
    """Say which brokers, browser and spreadsheet there are, and return what is missing."""
    from exporter.workers import brokers

    missing = []
    for name, broker in brokers.BROKERS.items():
        try:
            print(f"{name}: {brokers.read_version(broker().url)}")
        except brokers.UNREACHABLE as error:
            print(f"{name}: not found. {error}")
            missing.append(name)
    try:
        print(f"browser: {browsers.read_version()}")
    except browsers.BrowserNotFound as error:
        print(f"browser: not found. {error}")
        missing.append("browser")
    try:
        print(f"spreadsheet: {spreadsheets.read_version()}")
    except spreadsheets.SpreadsheetNotFound as error:
        print(f"spreadsheet: not found. {error}")
        missing.append("spreadsheet")
    return missing


def read_version(url: str) -> str:
    """Ask the server at the URL for its version, without opening any of its databases."""
    database = dj_database_url.parse(url)
    if "sqlite" not in database["ENGINE"]:
        database["NAME"] = None
        database.setdefault("OPTIONS", {}).setdefault("connect_timeout", 5)
    connection = ConnectionHandler({"default": database})["default"]
    try:
        version = ".".join(str(number) for number in connection.get_database_version())
        return f"{connection.display_name} {version} through {connection.Database.__name__}"
    finally:
        connection.close()


class Outcome:
    """How the tests on one database have ended, as ``outcomes.py`` has written it down."""

    def __init__(self, returncode: int, path: Path) -> None:
        data = json.loads(path.read_text()) if path.exists() else {}
        self.count = data.get("passed", 0)
        self.failed = data.get("failed", [])
        self.skipped = data.get("skipped", {})
        self.left_out = data.get("left_out", 0)
        # An argument may choose tests that this database has none of.
        self.is_good = returncode in (0, NO_TESTS)


def run_suite(name: str, level: str, arguments: list[str], is_measured: bool) -> Outcome:
    """Run the tests on the database, and return how that ended."""
    print(f"\nRunning on {name}.")
    path = Path(os.environ["EXPORTER_TEST_DIR"], f"{name}.json")
    processes = os.environ.get("JOBS", str(PROCESSORS + (level != "check")))
    if level == "check" and any(map(is_place, arguments)):
        # A module or two have run before other processes have started.
        processes = os.environ.get("JOBS", "0")
    command = ["pytest", "-q", f"--level={level}", "-n", processes, "--dist=worksteal"]
    if level == "thorough":
        # A sweep of all cases takes minutes.
        command += ["-o", "timeout=1800", "-o", "faulthandler_timeout=2400"]
    if is_measured:
        command = ["coverage", "run", "-m", *command]
    ended = run(*command, *arguments, DATABASE_URL=URLS[name], EXPORTER_OUTCOME=str(path))
    return Outcome(ended, path)


def is_place(argument: str) -> bool:
    return (ROOT / argument.partition("::")[0]).exists()


def report_coverage(*, is_complete: bool) -> bool:
    """Report what all runs covered together; too little is a failure if no run is missing."""
    minimum = [f"--fail-under={MIN_COVERAGE}"] if is_complete else []
    steps = [["combine", "--quiet"], ["report", *minimum]]
    return all(run("coverage", *step) == 0 for step in steps)


def report(level: str, outcomes: dict[str, Outcome], failed: list[str], seconds: float) -> None:
    """Say what was skipped and why, and at last what failed."""
    skipped = Counter()
    for outcome in outcomes.values():
        skipped.update(outcome.skipped)
    print(f"\nSkipped: {sum(skipped.values())}.")
    for reason, count in skipped.most_common():
        print(f"  {count}: {reason}")
    if left_out := sum(outcome.left_out for outcome in outcomes.values()):
        other = "make test-thorough" if level != "check" else "make test"
        print(f"Left to {other}: {left_out}.")
    for name, outcome in outcomes.items():
        for test in outcome.failed:
            print(f"Failed on {name}: {test}")
    counts = ", ".join(f"{outcome.count} on {name}" for name, outcome in outcomes.items())
    print(f"Passed: {counts}, in {seconds // 60:.0f}:{seconds % 60:02.0f}.")
    print(f"Failed: {', '.join(failed) or 'none'}.")


def run(*module: str, **environment: str) -> int:
    command = [sys.executable, "-m", *module]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

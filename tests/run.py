"""Run the test suite on every database that answers, with the brokers and the browser found.

Arguments go to pytest, except --coverage, which measures all runs together. The environment says:

- POSTGRES_URL, MYSQL_URL, REDIS_URL and AMQP_URL: where the servers are.
- DATABASES: which of sqlite, postgresql and mysql to run on; all unless told.
- CHROMIUM: where the browser is, if it is not on the PATH.
- REQUIRE_SERVICES=1: a server that does not answer, or no browser, is a failure, and not skipped.
- PSYCOPG=2: PostgreSQL through psycopg2.
- JOBS: how many runs go at the same time; one unless told, which shows its output as it comes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import dj_database_url
import django
from django.core.exceptions import ImproperlyConfigured
from django.db.utils import ConnectionHandler, Error

import browsers
from exporter.workers import brokers

ROOT = Path(__file__).resolve().parent.parent
URLS = {
    "sqlite": "sqlite://",
    "postgresql": os.environ.get("POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres"),
    "mysql": os.environ.get("MYSQL_URL", "mysql://root@127.0.0.1:3306/test"),
}
JOBS = int(os.environ.get("JOBS", "1"))
# Percent of lines and branches, over all databases together.
MIN_COVERAGE = 95


def main(arguments: list[str]) -> int:
    sys.stdout.reconfigure(line_buffering=True)
    is_measured = "--coverage" in arguments
    command = ["pytest", "--create-db", *(a for a in arguments if a != "--coverage")]
    with TemporaryDirectory(prefix="exporter-tests-") as folder:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "settings", "EXPORTER_TEST_DIR": folder}
        # The settings choose the driver of MySQL.
        django.setup()
        found, missing = find_databases()
        missing += find_missing_brokers()
        missing += find_missing_browser()
        if is_measured:
            run("coverage", "erase")
            command = ["coverage", "run", "-m", *command]
        failed = list(run_suites(found, command))
    passed = [name for name in found if name not in failed]
    if is_measured and not report_coverage(is_complete=len(passed) == len(URLS)):
        failed.append("coverage")
    if os.environ.get("REQUIRE_SERVICES") == "1":
        failed += missing
    print(f"\nPassed: {', '.join(passed) or 'none'}. Failed: {', '.join(failed) or 'none'}.")
    return 1 if failed else 0


def find_databases() -> tuple[list[str], list[str]]:
    """Say which databases answer, and return those that do and those that do not."""
    found, missing = [], []
    for name in os.environ.get("DATABASES", "").split() or URLS:
        try:
            print(f"{name}: {read_version(URLS[name])}")
            found.append(name)
        except (Error, ImproperlyConfigured) as error:
            print(f"{name}: not found. {str(error.args[-1]).splitlines()[0]}")
            missing.append(name)
    return found, missing


def find_missing_brokers() -> list[str]:
    """Say which brokers answer, and return those that do not; their tests are skipped."""
    missing = []
    for name, broker in brokers.BROKERS.items():
        try:
            print(f"{name}: {brokers.read_version(broker().url)}")
        except brokers.UNREACHABLE as error:
            print(f"{name}: not found. {error}")
            missing.append(name)
    return missing


def find_missing_browser() -> list[str]:
    """Say which browser there is; if there is none, the tests of pages are skipped."""
    try:
        print(f"browser: {browsers.read_version()}")
    except browsers.BrowserNotFound as error:
        print(f"browser: not found. {error}")
        return ["browser"]
    return []


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


def run_suites(names: list[str], command: list[str]) -> Iterator[str]:
    """Run the suite on each database, and yield the names of those on which it failed."""

    def run_suite(name: str) -> subprocess.CompletedProcess[str]:
        print(f"\nRunning on {name}.")
        return run(*command, is_shown=JOBS == 1, DATABASE_URL=URLS[name])

    with ThreadPoolExecutor(JOBS) as pool:
        for name, suite in zip(names, pool.map(run_suite, names), strict=True):
            if JOBS > 1:
                print(f"\n{name}\n{suite.stdout}")
            if suite.returncode != 0:
                yield name


def report_coverage(*, is_complete: bool) -> bool:
    """Report what all runs covered together; too little is a failure if no run is missing."""
    minimum = [f"--fail-under={MIN_COVERAGE}"] if is_complete else []
    steps = [["combine", "--quiet"], ["report", *minimum]]
    return all(run("coverage", *step).returncode == 0 for step in steps)


def run(
    *module: str, is_shown: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *module],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=None if is_shown else subprocess.PIPE,
        stderr=None if is_shown else subprocess.STDOUT,
        text=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

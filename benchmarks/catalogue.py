"""List the contenders: what each is called, how it is started, and what it cannot do."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from children import HERE
from databases import Database

ALL = ("postgresql", "sqlite", "mysql")


@dataclass(frozen=True)
class Job:
    """One export that a contender has to do."""

    database: Database
    sql: str
    path: Path


@dataclass(frozen=True)
class Contender:
    name: str
    label: str
    role: str  # "limit", "ours", "hand" or "peer"
    get_command: Callable[[Job], Sequence[str]]
    databases: Sequence[str] = ALL
    program: str = ""
    module: str = ""
    # Contenders of one group write the same columns.
    group: str = "plain"
    # Programs that write to their output rather than to a file.
    is_printing: bool = False
    has_tabs: bool = False
    # Databases on which all rows are in memory at once.
    holds_rows_on: Sequence[str] = ()

    def find_missing(self) -> str:
        """Return the program or module that it needs and that is not installed."""
        if self.program and not shutil.which(self.program):
            return self.program
        return self.module if self.module and not find_spec(self.module) else ""


def run_python(function: str) -> Callable[[Job], Sequence[str]]:
    """Call a function of a module in contenders/ with Django set up."""
    command = [sys.executable, str(HERE / "child.py"), f"contenders.{function}"]
    return lambda job: [*command, str(job.path)]


def run_psql(job: Job) -> Sequence[str]:
    copy = f"\\copy ({job.sql}) TO '{job.path}' CSV HEADER"
    return ["psql", "--no-psqlrc", "--quiet", "--command", copy, job.database.url_without_password]


def run_sqlite(job: Job) -> Sequence[str]:
    return ["sqlite3", "-batch", "-csv", "-header", job.database.path, job.sql]


def run_sqlite_cursor(job: Job) -> Sequence[str]:
    script = str(HERE / "contenders" / "sqlite_cursor.py")
    return [sys.executable, script, job.database.path, job.sql, str(job.path)]


def run_mariadb(job: Job) -> Sequence[str]:
    return [
        "mariadb",
        "--no-defaults",
        "--batch",
        "--quick",
        "--default-character-set=utf8mb4",
        *job.database.get_mariadb_arguments(),
        f"--execute={job.sql}",
    ]


CONTENDERS = [
    Contender("psql", "psql \\copy", "limit", run_psql, ["postgresql"], program="psql"),
    Contender(
        "sqlite_cursor", "Python's sqlite3 into csv.writer", "limit", run_sqlite_cursor, ["sqlite"]
    ),
    Contender(
        "sqlite3",
        "sqlite3 CLI",
        "limit",
        run_sqlite,
        ["sqlite"],
        program="sqlite3",
        is_printing=True,
    ),
    Contender(
        "mariadb",
        "mariadb --batch --quick",
        "limit",
        run_mariadb,
        ["mysql"],
        program="mariadb",
        is_printing=True,
        has_tabs=True,
    ),
    Contender("ours", "django-infra", "ours", run_python("ours.export")),
    Contender(
        "ours_unguarded",
        "django-infra, formula guard off",
        "ours",
        run_python("ours.export_unguarded"),
    ),
    Contender(
        "hand_written",
        "hand-written .iterator()",
        "hand",
        run_python("hand_written.export"),
        holds_rows_on=["mysql"],
    ),
    Contender(
        "postgres_copy",
        "django-postgres-copy",
        "peer",
        run_python("postgres_copy_manager.export"),
        ["postgresql"],
        module="postgres_copy",
    ),
    Contender(
        "queryset_csv",
        "django-queryset-csv",
        "peer",
        run_python("queryset_csv.export"),
        module="djqscsv",
        holds_rows_on=ALL,
    ),
    Contender(
        "pandas",
        "pandas",
        "peer",
        run_python("pandas_frame.export"),
        module="pandas",
        holds_rows_on=ALL,
    ),
    Contender(
        "import_export",
        "django-import-export",
        "peer",
        run_python("import_export_resource.export"),
        module="import_export",
        holds_rows_on=ALL,
    ),
    Contender(
        "ours_custom_field",
        "django-infra, formula guard off",
        "ours",
        run_python("ours.export_custom_field"),
        ["postgresql"],
        group="custom field",
    ),
    Contender(
        "hand_written_custom_field",
        "hand-written .iterator()",
        "hand",
        run_python("hand_written.export_custom_field"),
        ["postgresql"],
        group="custom field",
    ),
]
BY_NAME = {contender.name: contender for contender in CONTENDERS}
# The file of this contender is what those of its group are compared with.
REFERENCES = {"plain": "hand_written", "custom field": "hand_written_custom_field"}
# These must write the very bytes of their reference.
EXACT = {"ours_unguarded", "ours_custom_field"}

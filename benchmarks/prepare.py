"""Create the database, and fill its tables for one size."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import islice
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.db.utils import ConnectionHandler, Error

from django_infra.exporter.models import Leftover, QueryExport
from shop.data import CUSTOMER_COLUMNS, ORDER_COLUMNS, VERSION, make_customers, make_orders
from shop.models import Customer, Dataset, Order
from shop.queries import get_sql

# The code of a process that found no server.
NOT_FOUND = 3
BATCH_SIZE = 5_000
DRIVERS = {"postgresql": "psycopg", "mysql": "mysqlclient"}


def prepare() -> dict[str, str]:
    """Make the database ready, and return what the runner must know of it."""
    try:
        create_database()
    except Error as error:
        print(str(error.args[-1]).splitlines()[0], file=sys.stderr)
        sys.exit(NOT_FOUND)
    forget_exports()
    call_command("migrate", run_syncdb=True, verbosity=0)
    rows = settings.BENCH_ROWS
    if not Dataset.objects.filter(rows=rows, version=VERSION).exists():
        fill(rows)
    return {"sql": get_sql(), "server": describe_server(), "python": describe_python()}


def create_database() -> None:
    """Create the benchmarks' own database on the server."""
    if connection.vendor == "sqlite":
        return
    name = connection.settings_dict["NAME"]
    database = settings.DATABASES["default"] | {
        "NAME": "postgres" if connection.vendor == "postgresql" else None,
        "OPTIONS": {"connect_timeout": 5},
    }
    server = ConnectionHandler({"default": database})["default"]
    with server.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb4")
        else:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if not cursor.fetchone():
                cursor.execute(f"CREATE DATABASE {name}")
    server.close()


def forget_exports() -> None:
    """Drop the exporter's tables, whose one migration changes until the first release."""
    existing = connection.introspection.table_names()
    with connection.schema_editor() as editor:
        for model in (QueryExport, Leftover):
            if model._meta.db_table in existing:
                editor.delete_model(model)
    # Without a record of it, the migration creates them anew.
    recorder = MigrationRecorder(connection)
    if recorder.has_table():
        recorder.migration_qs.filter(app="exporter").delete()


def fill(rows: int) -> None:
    """Make the tables anew, since what is in them is of another version, or not complete."""
    Dataset.objects.filter(rows=rows).delete()
    with connection.schema_editor() as editor:
        for model in (Order, Customer):
            editor.delete_model(model)
            editor.create_model(model)
    with transaction.atomic():
        load(Customer._meta.db_table, CUSTOMER_COLUMNS, make_customers(rows))
        load(Order._meta.db_table, ORDER_COLUMNS, make_orders(rows))
    tidy_up()
    Dataset.objects.create(rows=rows, version=VERSION)


def load(table: str, columns: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
    """Insert the rows, as fast as the database takes them."""
    names = ", ".join(columns)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
            return
        marks = ", ".join(["%s"] * len(columns))
        for batch in read_batches(rows):
            cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", batch)


def read_batches(rows: Iterable[Any]) -> Iterator[list[Any]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, BATCH_SIZE)):
        yield batch


def tidy_up() -> None:
    """Do now what the server would do in the middle of a measurement."""
    statements = {
        "postgresql": [f"VACUUM ANALYZE {Order._meta.db_table}"],
        "mysql": [f"ANALYZE TABLE {Order._meta.db_table}"],
        "sqlite": ["PRAGMA wal_checkpoint(TRUNCATE)"],
    }
    with connection.cursor() as cursor:
        for statement in statements[connection.vendor]:
            cursor.execute(statement)


def describe_server() -> str:
    number = ".".join(map(str, connection.get_database_version()))
    driver = DRIVERS.get(connection.vendor)
    text = f"{connection.display_name} {number}"
    return f"{text} through {driver} {version(driver)}" if driver else text


def describe_python() -> str:
    return f"Python {platform.python_version()}, Django {django.__version__}"

"""Heartbeats where connections are scarce, and where a session decides which rows there are."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress

import pytest
from django.db import OperationalError, connection

from django_infra.exporter.exceptions import ExportInterrupted, HeartbeatFailed, InvalidSetting
from django_infra.exporter.export import enqueue_export, export_queryset
from django_infra.exporter.housekeeping import recovery
from django_infra.exporter.jobs.worker import run_job
from django_infra.exporter.models import ExportState, QueryExport
from exporter.faults.authors import make_authors
from exporter.faults.children import get_databases, get_settings, make_environment
from exporter.faults.marks import commits, needs_postgresql, needs_psycopg3, needs_server
from exporter.faults.probes import fetch, find_threads, wait_until
from exporter.faults.servers import PgBouncer, PostgreSQL, SilentProxy, find_program
from exporter.faults.slow import COLUMNS, make_slow
from testapp.models import Author

pytest_plugins = ["exporter.faults.fixtures"]
pytestmark = [*commits, pytest.mark.external]

SLOW = "exporter.faults.slow"
TABLES = ("exporter_queryexport", "exporter_leftover", "testapp_author")
PORTS = {"postgresql": 5432, "mysql": 3306}
BEATS = "SELECT row_count, progress_percent FROM {}.exporter_queryexport"

# What makes a tenant: a schema, or on MariaDB a database, with tables like those that there are.
MAKE_TENANT = {
    "postgresql": ["CREATE SCHEMA {tenant}"]
    + [f"CREATE TABLE {{tenant}}.{name} (LIKE public.{name} INCLUDING ALL)" for name in TABLES],
    "mysql": ["CREATE DATABASE {tenant}"]
    + [f"CREATE TABLE {{tenant}}.{name} LIKE {{own}}.{name}" for name in TABLES],
}
ENTER_TENANT = {"postgresql": "SET search_path = {tenant}", "mysql": "USE {tenant}"}
DROP_TENANT = {
    "postgresql": ["DROP SCHEMA {tenant} CASCADE", "DROP ROLE IF EXISTS {tenant}"],
    "mysql": ["DROP DATABASE {tenant}"],
}
# Exports can be found if the variable is set, and of the authors those whose name begins with it.
HIDE_ROWS = [
    "CREATE ROLE {tenant}",
    "GRANT USAGE ON SCHEMA {tenant} TO {tenant}",
    "GRANT ALL ON ALL TABLES IN SCHEMA {tenant} TO {tenant}",
    "ALTER TABLE {tenant}.exporter_queryexport ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE {tenant}.testapp_author ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY own ON {tenant}.exporter_queryexport"
    " USING (current_setting('app.tenant', true) = 'Author')",
    "CREATE POLICY own ON {tenant}.testapp_author"
    " USING (starts_with(name, current_setting('app.tenant', true)))",
    "SET app.tenant = 'Author'",
    "SET ROLE {tenant}",
]


@pytest.fixture
def execute(second):
    """Return a function that executes statements about the tenant on the export's connection."""
    own = connection.settings_dict["NAME"]
    tenant = f"{own}_tenant"

    def execute(*statements, on=connection):
        with on.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement.format(own=own, tenant=tenant))

    execute.tenant = tenant
    return execute


@pytest.fixture
def tenant(execute, second):
    """Have the export's connection in a tenant with rows of its own; return how many."""
    make_authors(3)
    execute(*MAKE_TENANT[connection.vendor])
    execute(ENTER_TENANT[connection.vendor])
    make_authors(30)
    Author.objects.bulk_create(Author(name=f"Other {number}") for number in range(5))
    yield 35
    connection.close()
    execute(*DROP_TENANT[connection.vendor], on=second)


@pytest.fixture
def watch(second, execute):
    """A function for exports that notes what a connection to which nothing is denied finds."""
    sql = BEATS.format(execute.tenant)

    def look(row_count, total):
        look.seen.extend((*row, total) for row in fetch(second, sql))

    look.seen = []
    return look


def assert_seen(watch, *, total):
    """Check that heartbeats have reached the row, and that all rows have been counted."""
    assert len({row_count for row_count, _, _ in watch.seen}) > 2
    assert {found for _, _, found in watch.seen} == {None, total}
    assert any(0 < (percent or 0) < 100 for _, percent, _ in watch.seen)


# ---------------------------------------------------------- the session of the export


@needs_server
def test_tenant_has_heartbeats_and_a_count_of_its_own(in_a_hurry, tenant, spy, watch):
    spy(lambda number: None, chunk_size=2)
    export = export_queryset(make_slow(0.03), COLUMNS, watch=watch)
    assert (export.state, export.row_count) == (ExportState.SUCCESS, tenant)
    assert_seen(watch, total=tenant)


@needs_postgresql
def test_role_that_finds_some_rows_has_heartbeats_and_counts_those(
    in_a_hurry, tenant, execute, settings, spy, watch
):
    settings.EXPORTER_SESSION_SETTINGS = ["@of_mariadb", "app.tenant"]
    execute(*HIDE_ROWS)
    spy(lambda number: None, chunk_size=2)
    export = export_queryset(make_slow(0.03), COLUMNS, watch=watch)
    assert (export.state, export.row_count) == (ExportState.SUCCESS, 30)
    assert_seen(watch, total=30)


@needs_postgresql
def test_row_that_was_never_found_cancels_nothing(in_a_hurry, tenant, execute, spy, watch):
    execute(*HIDE_ROWS)  # and the variable is not in the settings
    spy(lambda number: None, chunk_size=2)
    export = export_queryset(make_slow(0.03), COLUMNS, watch=watch)
    assert (export.state, export.row_count) == (ExportState.SUCCESS, 30)
    assert {(row_count, total) for row_count, _, total in watch.seen} == {(0, None)}


@needs_postgresql
def test_row_that_was_never_found_ends_the_attempt_by_half_the_lease(
    in_a_hurry, tenant, execute, settings
):
    settings.EXPORTER_LEASE = 2
    execute(*HIDE_ROWS)
    with pytest.raises(HeartbeatFailed, match="EXPORTER_SESSION_SETTINGS"):
        export_queryset(make_slow(60), COLUMNS)
    export = QueryExport.objects.get()
    assert export.state == ExportState.FAIL
    assert "HeartbeatFailed: No heartbeat for 1 seconds" in export.error_log


@needs_postgresql
def test_row_that_is_deleted_where_none_is_found_ends_the_export_in_the_end(
    in_a_hurry, tenant, execute, second, spy, remains
):
    execute(*HIDE_ROWS)

    def delete(number):
        if number == 2:
            execute("DELETE FROM {tenant}.exporter_queryexport", on=second)

    spy(delete, chunk_size=2)
    with pytest.raises(ExportInterrupted):
        export_queryset(make_slow(0.02), COLUMNS)
    assert remains() == []


@needs_server
def test_row_that_is_deleted_before_any_heartbeat_interrupts_the_query(tenant, execute, second):
    sql = BEATS.format(execute.tenant)

    def delete():
        wait_until(lambda: fetch(second, f"{sql} WHERE state = 'processing'"))
        execute("DELETE FROM {tenant}.exporter_queryexport", on=second)

    second.inc_thread_sharing()
    thread = threading.Thread(target=delete)
    thread.start()
    with pytest.raises(ExportInterrupted):
        export_queryset(make_slow(60), COLUMNS)
    thread.join()
    second.dec_thread_sharing()


def test_session_settings_that_are_none_are_refused_before_any_work(authors, settings):
    settings.EXPORTER_SESSION_SETTINGS = "app.tenant"
    with pytest.raises(InvalidSetting, match="EXPORTER_SESSION_SETTINGS is"):
        export_queryset(authors, ["id"])
    assert not QueryExport.objects.exists()


def test_session_settings_that_are_none_end_a_job_with_the_reason(box, declare, settings):
    declare()(lambda params, user: Author.objects.all())
    export = enqueue_export("test")
    settings.EXPORTER_SESSION_SETTINGS = ["no; name"]
    with pytest.raises(InvalidSetting, match="EXPORTER_SESSION_SETTINGS"):
        run_job(export.id)
    export.refresh_from_db()
    assert export.state == ExportState.FAIL
    assert "EXPORTER_SESSION_SETTINGS" in export.error_log


# ------------------------------------------------------------------- the pool of Django


def start_crowd(how, count, seconds, databases, lease):
    """Start a process in which so many exports run at once; it says how they have ended."""
    changed = get_settings() | {"DATABASES": databases, "EXPORTER_LEASE": lease}
    return subprocess.Popen(
        [sys.executable, "-m", "exporter.faults.crowd", how, str(count), str(seconds)],
        stdout=subprocess.PIPE,
        env=make_environment(EXPORTER_CHILD_SETTINGS=json.dumps(changed)),
        text=True,
    )


@needs_psycopg3
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("how", ["threads", "requests", "greenlets"])
def test_pool_that_is_all_in_use_leaves_the_exports_their_heartbeats(settings, how, count):
    settings.EXPORTER_LEASE = 3
    make_authors(50)
    databases = get_databases()
    for database in databases.values():
        database["OPTIONS"] = {"pool": {"min_size": 1, "max_size": count, "timeout": 5}}
    with start_crowd(how, count, 0.1, databases, settings.EXPORTER_LEASE) as crowd:
        while crowd.poll() is None:
            # Others look, and call lost what gives no sign.
            recovery.recover_exports()
            with suppress(subprocess.TimeoutExpired):
                crowd.wait(0.2)
        assert json.loads(crowd.stdout.read()) == ["success"] * count
    states = [export.state for export in QueryExport.objects.all()]
    assert states == [ExportState.SUCCESS] * count


# ----------------------------------------------------------------- no connection to be had


@pytest.fixture(scope="module")
def server():
    """A PostgreSQL server of our own with few connections."""
    if find_program("initdb") is None:
        pytest.skip("the programs of a PostgreSQL server are not installed")
    with PostgreSQL(max_connections=8, superuser_reserved_connections=0) as server:
        yield server


@pytest.fixture
def worker(server, child):
    worker = child(databases=server.get_databases(), EXPORTER_LEASE=4, EXPORTER_RETRY_DELAY=0.5)
    worker.call("prepare_database", authors=50)
    worker.call("hurry", interval=0.1)
    return worker


@pytest.fixture
def occupy(server):
    """Return a function that takes connections until there are no more, and returns them."""
    with ExitStack() as stack:

        def occupy(*, leave=0):
            taken = []
            with suppress(OperationalError):
                while True:
                    other = connection.copy()
                    other.settings_dict.update(server.get_databases()["default"])
                    other.ensure_connection()
                    stack.callback(other.close)
                    taken.append(other)
            for _ in range(leave):
                taken.pop().close()
            return taken

        yield occupy


@needs_postgresql
def test_server_at_its_limit_ends_an_export_with_the_reason(worker, occupy):
    occupy()
    outcome = worker.call(f"{SLOW}.export_slow", seconds=60)
    assert outcome["error"] == "HeartbeatFailed"
    assert "No heartbeat for 2 seconds, half of EXPORTER_LEASE" in outcome["message"]
    assert "too many clients" in outcome["message"]
    # The connection that was streaming has told the row.
    (row,) = worker.call("read_exports")
    assert row["state"] == ExportState.FAIL
    assert "too many clients" in row["error_log"]


@needs_postgresql
def test_server_at_its_limit_is_no_end_of_a_job(worker, occupy):
    taken = occupy()
    worker.begin(f"{SLOW}.run_slow_job")
    sql = "SELECT failures::text FROM exporter_queryexport"
    wait_until(lambda: "too many clients" in str(fetch(taken[0], sql)))
    for other in taken:
        other.close()
    worker.finish()
    (row,) = worker.call("read_exports")
    assert (row["state"], row["attempt"], row["row_count"]) == (ExportState.SUCCESS, 2, 50)
    assert ["HeartbeatFailed" in failure["error"] for failure in row["failures"]] == [True]


@needs_postgresql
@pytest.mark.parametrize(("left", "total"), [(1, None), (2, 50)])
def test_rows_are_counted_only_where_a_connection_is_left(server, child, occupy, left, total):
    worker = child(databases=server.get_databases())
    worker.call("prepare_database", authors=50)
    worker.call("hurry", interval=0.1)
    occupy(leave=left)
    outcome = worker.call(f"{SLOW}.export_slow", seconds=0.05)
    assert "state" in outcome, outcome
    assert outcome["state"] == ExportState.SUCCESS
    assert max(filter(None, outcome["totals"]), default=None) == total


@needs_postgresql
@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="pgbouncer is not installed")
def test_count_gives_way_to_a_heartbeat_that_waits_for_a_pool(server, child):
    with PgBouncer(server.get_databases(), size=2) as pool:
        worker = child(databases=pool.get_databases(), EXPORTER_LEASE=4)
        worker.call("prepare_database", authors=50)
        worker.call("hurry", interval=0.1)
        outcome = worker.call(f"{SLOW}.export_slow", seconds=0.1, counts_slowly=True)
    assert outcome == {"state": ExportState.SUCCESS, "rows": 50, "totals": [None]}


@pytest.fixture
def silent_server(monkeypatch):
    """Have the server leave the second connection from now on without an answer."""
    address = connection.settings_dict
    with SilentProxy(address["HOST"], address["PORT"] or PORTS[connection.vendor], {2}) as proxy:
        connection.close()
        monkeypatch.setitem(address, "HOST", "127.0.0.1")
        monkeypatch.setitem(address, "PORT", str(proxy.port))
        yield proxy
        connection.close()
        monkeypatch.undo()
    wait_until(lambda: not find_threads())


@needs_server
def test_nobody_waits_for_a_thread_that_waits_for_a_connection(in_a_hurry, authors, silent_server):
    export = export_queryset(make_slow(0.02), COLUMNS)
    assert export.state == ExportState.SUCCESS
    assert find_threads() == [f"heartbeat of {export.id}"]


# psycopg2 cancels in a way that stops all threads, also those of the proxy.
@pytest.mark.only_on("psycopg", "mysql")
def test_connection_without_an_answer_ends_the_export(in_a_hurry, authors, settings, silent_server):
    settings.EXPORTER_LEASE = 2
    with pytest.raises(HeartbeatFailed, match="does not answer"):
        export_queryset(make_slow(60), COLUMNS)


@needs_postgresql
def test_tenant_of_django_tenants_is_exported_with_heartbeats(server):
    # Nothing is counted before a heartbeat has found the row.
    database = json.dumps(server.get_databases()["default"])
    environment = make_environment(EXPORTER_TENANTS_DATABASE=database)
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    outcome = subprocess.run(
        [sys.executable, "-m", "exporter.faults.tenants"],
        check=True,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    assert json.loads(outcome) == {"state": ExportState.SUCCESS, "rows": 25, "totals": [25]}

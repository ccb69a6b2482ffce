from __future__ import annotations

import gc
import shutil
import signal
import threading
import time
from collections import Counter
from contextlib import nullcontext

import pytest
from django.db import Error, OperationalError, connection, transaction
from django.db.models import F, Func, IntegerField, TextField, Value
from django.db.models.functions import Repeat

from django_infra.exporter.exceptions import ExportInterrupted, FileAlreadyExists
from django_infra.exporter.export import export_queryset
from django_infra.exporter.models import ExportState, QueryExport
from exporter.faults.authors import COLUMNS, export_authors, make_authors_csv
from exporter.faults.children import plan_chunks
from exporter.faults.marks import commits, needs_postgresql, needs_psycopg3, needs_server
from exporter.faults.probes import fetch, find_files, get_session_id, kill_session
from exporter.faults.servers import DeafProxy, PgBouncer, PostgreSQL, find_program
from testapp.models import Author, Everything, Grudge

pytest_plugins = ["exporter.faults.fixtures"]
pytestmark = commits


PORTS = {"postgresql": 5432, "mysql": 3306}


class Stop(BaseException):
    """What is no Exception, as a KeyboardInterrupt is not."""


def export_large(authors, path=None, *, padding=100_000):
    """Export so much that the server cannot have sent it all before it is read."""
    wide = authors.annotate(padding=Repeat(Value("x"), padding))
    return export_queryset(wide, [*COLUMNS, "padding"], path)


def assert_failed(error_type, text=""):
    """Check the row of the only export, and return it."""
    export = QueryExport.objects.get()
    assert export.state == ExportState.FAIL
    assert error_type in export.error_log
    assert text in export.error_log
    assert export.finished_at is not None
    assert export.job_time is not None
    assert export.progress_percent != 100
    assert not export.file
    assert export.file_size is None
    assert export.path_key is None
    return export


# --------------------------------------------------------------------- from outside


@pytest.mark.parametrize(
    ("on_chunk", "exit_code", "error"),
    [
        ("interrupt_at_third_chunk", -signal.SIGINT, "KeyboardInterrupt"),
        ("terminate_at_third_chunk", 42, "SystemExit: 42"),
    ],
)
def test_signal_fails_the_export_and_ends_the_process_as_usual(
    authors, child, remains, on_chunk, exit_code, error
):
    worker = child(**plan_chunks(on_chunk))
    worker.call("exit_on_sigterm", code=42)
    worker.begin("export_authors", padding=1000)
    assert worker.wait() == exit_code
    assert_failed(error)
    assert remains() == []


def test_error_that_is_no_exception_leaves_nothing(authors, spy, remains):
    def stop(number):
        raise Stop("now")

    spy(stop)
    with pytest.raises(Stop):
        export_authors()
    assert_failed("Stop: now")
    assert remains() == []


@pytest.fixture
def lost_remainders():
    """Collect what PyMySQL cannot close without a connection, and complains about."""
    yield
    gc.collect()


@needs_server
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_lost_connection_is_recorded_and_does_no_harm_to_the_next_export(
    authors, spy, second, remains, lost_remainders
):
    session = get_session_id(connection)
    spy(lambda number: kill_session(second, session) if number == 2 else None)
    with pytest.raises(Error):
        export_large(authors)
    export = assert_failed("Error")
    assert remains() == []

    spy(lambda number: None)
    assert export_authors("next.csv").state == ExportState.SUCCESS
    assert remains() == ["next.csv"]
    export.refresh_from_db()
    assert export.state == ExportState.FAIL


@needs_server
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_connection_lost_inside_atomic_is_a_clean_error(
    authors, spy, second, remains, lost_remainders
):
    session = get_session_id(connection)
    spy(lambda number: kill_session(second, session) if number == 2 else None)
    with pytest.raises(Error), transaction.atomic():
        export_large(authors)
    assert QueryExport.objects.count() == 0
    assert remains() == []
    spy(lambda number: None)
    assert export_authors().state == ExportState.SUCCESS


@pytest.mark.parametrize("moment", ["deleted", "failed"])
@pytest.mark.parametrize("is_slow", [False, True])
def test_export_stops_when_its_row_is_taken_away(
    in_a_hurry, authors, spy, second, remains, moment, is_slow
):
    sql = {
        "deleted": "DELETE FROM exporter_queryexport",
        "failed": "UPDATE exporter_queryexport SET state = 'fail', error_log = 'Cancelled.'",
    }[moment]
    seen = []

    def take_away(number):
        seen.append(number)
        if number == 2:
            with second.cursor() as cursor:
                cursor.execute(sql)
        if is_slow:
            time.sleep(0.02)

    spy(take_away, chunk_size=1)
    with pytest.raises(ExportInterrupted):
        export_authors()
    assert remains() == []
    assert len(seen) < len(authors) or not is_slow
    rows = QueryExport.objects.values_list("state", "error_log")
    assert list(rows) == ([("fail", "Cancelled.")] if moment == "failed" else [])


def test_file_holds_the_rows_of_the_start(authors, spy, second, media_root):
    expected = make_authors_csv(authors)

    def change_rows(number):
        if number == 2:
            with second.cursor() as cursor:
                cursor.execute("DELETE FROM testapp_author WHERE name LIKE '%%1'")
                cursor.execute("UPDATE testapp_author SET name = 'Changed'")
                cursor.execute("INSERT INTO testapp_author (name, email) VALUES ('New', '')")

    spy(change_rows, chunk_size=3)
    export = export_authors("snapshot.csv")
    assert (media_root / "snapshot.csv").read_bytes() == expected
    assert export.row_count == 50
    assert Author.objects.filter(name="Changed").count() == 45


def test_path_that_comes_free_after_the_conflict_is_taken_all_the_same(authors, second, media_root):
    other = QueryExport.objects.schedule(
        model=Author, format="csv", storage_alias="default", file_path="same.csv"
    )

    def finish_other(execute, sql, params, many, context):
        if sql.startswith("SELECT") and other.path_key in (params or ()):
            media_root.mkdir(exist_ok=True)
            (media_root / "same.csv").write_text("theirs")
            with second.cursor() as cursor:
                cursor.execute(
                    "UPDATE exporter_queryexport SET state = 'success', path_key = NULL"
                    " WHERE path_key IS NOT NULL"
                )
        return execute(sql, params, many, context)

    with connection.execute_wrapper(finish_other), pytest.raises(FileAlreadyExists):
        export_authors("same.csv")
    assert (media_root / "same.csv").read_text() == "theirs"


# ------------------------------------------------------------------------ from the query


def make_failing(authors, number):
    """Return the queryset with an annotation that the database cannot compute in one row."""
    last_good = authors[number - 2].pk
    if connection.vendor == "postgresql":
        return authors.annotate(odd=Value(1) / (F("pk") - (last_good + 1)))
    if connection.vendor == "mysql":
        over = Func(F("pk"), template=f"9223372036854775807 + (%(expressions)s > {last_good})")
        return authors.annotate(odd=Func(over, function="ABS", output_field=IntegerField()))
    template = f"json(CASE WHEN %(expressions)s > {last_good} THEN '[' ELSE '1' END)"
    return authors.annotate(odd=Func(F("pk"), template=template, output_field=IntegerField()))


def test_error_of_the_database_in_a_late_row_leaves_nothing(authors, settings, remains):
    settings.EXPORTER_CHUNK_SIZE = 10
    with pytest.raises(Error) as caught:
        export_queryset(make_failing(authors, 35), ["pk", "odd"])
    assert_failed(type(caught.value).__name__)
    assert remains() == []
    assert export_authors().state == ExportState.SUCCESS


@pytest.mark.parametrize("is_nested", [False, True])
def test_failure_caught_inside_atomic_stays_in_the_row(authors, settings, remains, is_nested):
    settings.EXPORTER_CHUNK_SIZE = 10
    with transaction.atomic():
        if is_nested:
            with pytest.raises(Error), transaction.atomic():
                export_queryset(make_failing(authors, 35), ["pk", "odd"])
        else:
            with pytest.raises(Error):
                export_queryset(make_failing(authors, 35), ["pk", "odd"])
        Author.objects.create(name="After")
    if is_nested:  # the inner block has rolled the row back
        assert QueryExport.objects.count() == 0
    else:
        assert_failed("Error")
    assert Author.objects.filter(name="After").exists()
    assert remains() == []


def test_failure_of_a_large_result_inside_atomic_stays_in_the_row(authors, spy, remains):
    def stop(number):
        if number == 2:
            raise Stop

    spy(stop)
    with transaction.atomic():
        with pytest.raises(Stop):
            export_large(authors)
        Author.objects.create(name="After")
    assert_failed("Stop")
    assert Author.objects.count() == 51
    assert remains() == []


def test_value_that_cannot_be_read_is_named(settings, remains):
    settings.EXPORTER_CHUNK_SIZE = 10
    Grudge.objects.bulk_create(Grudge(number=13 if i == 27 else 1000) for i in range(1, 31))
    with pytest.raises(ValueError, match="bad luck") as caught:
        export_queryset(Grudge.objects.order_by("pk"), {"pk": "Key", "number": "The number"})
    assert caught.value.__notes__ == ["Row 27, column 'The number'."]
    export = assert_failed("ValueError", "Row 27, column 'The number'.")
    assert "13" not in export.error_log
    assert remains() == []


@needs_psycopg3
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("date", "infinity"),
        ("date", "0044-03-15 BC"),
        ("date", "10000-01-01"),
        ("datetime", "-infinity"),
        ("datetime", "0044-03-15 12:00+00 BC"),
        ("time", "24:00"),
    ],
)
def test_time_that_python_does_not_know_is_named(remains, column, value):
    Everything.objects.bulk_create(Everything(integer=number) for number in range(30))
    unlucky = Everything.objects.get(integer=16)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE testapp_everything SET {column} = %s WHERE id = %s", [value, unlucky.pk]
        )
    with pytest.raises(Error):
        export_queryset(Everything.objects.order_by("pk"), ["id", column])
    export = assert_failed("Data", f"column '{column}'")
    assert "Row 17" in export.error_log
    assert remains() == []


# ---------------------------------------------------------------------------- time limits


@pytest.fixture
def slow_authors(authors):
    """Rows of which each takes the database a tenth of a second."""
    if connection.vendor == "postgresql":
        nap = Func(Value(0.1), template="pg_sleep(%(expressions)s)::text", output_field=TextField())
    elif connection.vendor == "mysql":
        nap = Func(Value(0.1), function="SLEEP", output_field=IntegerField())
    else:
        connection.ensure_connection()
        connection.connection.create_function("nap", 1, time.sleep)
        nap = Func(Value(0.1), function="nap", output_field=IntegerField())
    return authors.annotate(nap=nap)


def set_time_limit(seconds):
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET statement_timeout = %s", [int(seconds * 1000)])
        else:
            cursor.execute("SET max_statement_time = %s", [seconds])


@needs_server
def test_time_limit_of_the_statement_fails_the_export(slow_authors, remains):
    session = get_session_id(connection)
    set_time_limit(0.3)
    with pytest.raises(OperationalError):
        export_queryset(slow_authors, ["id", "nap"])
    assert_failed("OperationalError")
    assert get_session_id(connection) == session
    assert remains() == []


def test_cancelled_statement_fails_the_export(slow_authors, second, remains):
    session = None if connection.vendor == "sqlite" else get_session_id(connection)
    raw = connection.connection

    def cancel():
        if connection.vendor == "postgresql":
            fetch(second, "SELECT pg_cancel_backend(%s)", [session])
        elif connection.vendor == "mysql":
            with second.cursor() as cursor:
                cursor.execute("KILL QUERY %s", [session])
        else:
            raw.interrupt()

    second.inc_thread_sharing()
    timer = threading.Timer(0.5, cancel)
    timer.start()
    with pytest.raises(OperationalError):
        export_queryset(slow_authors, ["id", "nap"])
    timer.join()
    second.dec_thread_sharing()
    assert_failed("OperationalError")
    assert session is None or get_session_id(connection) == session
    assert remains() == []
    assert Author.objects.count() == 50


@needs_server
def test_slow_storage_does_not_use_up_the_time_of_the_statement(authors, settings, media_root):
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "exporter.faults.storages.SlowStorage"},
    }
    set_time_limit(0.4)
    assert export_authors("slow.csv").state == ExportState.SUCCESS
    assert (media_root / "slow.csv").read_bytes() == make_authors_csv(authors)


@needs_postgresql
def test_slow_writer_does_not_use_up_the_time_of_the_statement(authors, spy, media_root):
    spy(lambda number: time.sleep(0.3))
    set_time_limit(0.4)
    assert export_authors("slow.csv").state == ExportState.SUCCESS
    assert (media_root / "slow.csv").read_bytes() == make_authors_csv(authors)


# --------------------------------------------------------------- the server itself is away


@pytest.fixture(scope="module")
def server():
    """A PostgreSQL server of our own, that can be stopped and has few connections."""
    if find_program("initdb") is None:
        pytest.skip("the programs of a PostgreSQL server are not installed")
    with PostgreSQL(max_connections=8, superuser_reserved_connections=0) as server:
        yield server


@pytest.fixture
def worker(server, child):
    worker = child(databases=server.get_databases(), **plan_chunks("wait_at_third_chunk"))
    worker.call("prepare_database", authors=50)
    return worker


@needs_postgresql
def test_failure_is_recorded_after_the_server_has_restarted(server, worker, media_root, temp_dir):
    worker.begin("export_authors", path="restart.csv", padding=1000)
    assert worker.finish() == "at the third chunk"
    server.restart()
    worker.proceed()
    assert worker.finish()["error"] == "OperationalError"
    (row,) = worker.call("read_exports")
    assert row["state"] == ExportState.FAIL
    assert "OperationalError" in row["error_log"]
    assert find_files(media_root, temp_dir) == []


@needs_postgresql
def test_error_reaches_the_caller_while_the_server_is_away(server, worker, media_root, temp_dir):
    worker.call("give_up_early")
    worker.begin("export_authors", path="away.csv", padding=1000)
    assert worker.finish() == "at the third chunk"
    server.stop()
    worker.proceed()
    assert worker.finish()["error"] == "OperationalError"
    assert find_files(media_root, temp_dir) == []

    server.start()
    (row,) = worker.call("read_exports")
    assert row["state"] == ExportState.PROCESSING
    assert worker.call("fail_lost_exports", lease=-1) == 1
    (row,) = worker.call("read_exports")
    assert row["state"] == ExportState.FAIL


@needs_postgresql
def test_server_that_is_away_at_the_success_leaves_a_failure_without_a_file(
    server, child, media_root, temp_dir
):
    worker = child(databases=server.get_databases())
    worker.call("prepare_database", authors=50)
    worker.call("give_up_early")
    worker.call("wait_before_success")
    worker.begin("export_authors", path="late.csv")
    assert worker.finish() == "before success"
    server.stop()
    worker.proceed()
    assert worker.finish()["error"] == "OperationalError"

    server.start()
    worker.call("fail_lost_exports", lease=-1)
    (row,) = worker.call("read_exports")
    assert row["state"] == ExportState.FAIL
    assert find_files(media_root, temp_dir) == []


@needs_server
def test_success_whose_confirmation_is_lost_is_a_success(authors, monkeypatch, media_root, remains):
    address = connection.settings_dict
    host = address["HOST"]
    with DeafProxy(host, address["PORT"] or PORTS[connection.vendor], b"'success'") as proxy:
        connection.close()
        monkeypatch.setitem(address, "HOST", "127.0.0.1")
        monkeypatch.setitem(address, "PORT", str(proxy.port))
        export = export_authors("late.csv")
        connection.close()
        assert proxy.is_cut
    monkeypatch.undo()
    assert export.state == ExportState.SUCCESS
    assert export.file.name == "late.csv"
    export.refresh_from_db()
    assert export.state == ExportState.SUCCESS
    assert remains() == ["late.csv"]
    assert (media_root / "late.csv").read_bytes() == make_authors_csv(authors)


@needs_postgresql
def test_twenty_exports_at_once_share_few_connections(server, child, media_root, temp_dir):
    worker = child(databases=server.get_databases())
    worker.call("prepare_database", authors=500)
    outcomes = worker.call("export_in_threads", count=20)
    states = Counter(row["state"] for row in worker.call("read_exports"))
    assert set(states) <= {ExportState.SUCCESS, ExportState.FAIL}
    assert states[ExportState.SUCCESS] == sum("state" in outcome for outcome in outcomes) > 0
    refused = [outcome["message"] for outcome in outcomes if "error" in outcome]
    assert all("too many clients" in message for message in refused)
    assert len(find_files(media_root)) == states[ExportState.SUCCESS]
    assert len({path.read_bytes() for path in media_root.rglob("*.csv")}) == 1
    assert find_files(temp_dir) == []
    assert worker.call("count_sessions") == 1


@needs_postgresql
@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="pgbouncer is not installed")
@pytest.mark.parametrize("takes_text", [True, False], ids=["text", "values"])
def test_pool_may_give_each_transaction_another_session(server, child, media_root, takes_text):
    with PgBouncer(server.get_databases()) as pool:
        formats = {"csv": {"BACKEND": "exporter.faults.writers.SpiedCSVWriter"}}
        formats["csv"]["OPTIONS"] = {
            "on_chunk": "exporter.faults.jobs.nap",
            "takes_text": takes_text,
        }
        worker = child(databases=pool.get_databases(), EXPORTER_FORMATS=formats)
        worker.call("hurry", interval=0.05)
        worker.call("prepare_database", authors=2000)
        for number in range(3):
            outcome = worker.call("export_authors", path=f"{number}.csv")
            assert outcome["state"] == ExportState.SUCCESS
        settings = worker.call("show_in_sessions", name="jit", count=6)
    files = sorted(media_root.rglob("*.csv"))
    assert len({path.read_bytes() for path in files}) == 1
    assert len(files[0].read_text().splitlines()) == 2001
    assert set(settings) == {"on"}


# --------------------------------------------------------------- a reader that is slow


SETS_FOR_STATEMENT = "django_infra.exporter.sources.mysql.source.MySQLSource.sets_for_statement"
SHOW_TIMEOUT = "SELECT @@SESSION.net_write_timeout"


@pytest.mark.only_on("mysql")
@pytest.mark.parametrize("for_statement", [True, False], ids=["statement", "session"])
def test_server_waits_for_a_slow_reader(authors, spy, monkeypatch, media_root, for_statement):
    monkeypatch.setattr(SETS_FOR_STATEMENT, for_statement)
    fetch(connection, "SET SESSION net_write_timeout = 1")
    spy(lambda number: time.sleep(4) if number == 2 else None)
    # More than lies between server and client anyway.
    assert export_large(authors, "slow.csv", padding=500_000).state == ExportState.SUCCESS
    assert len((media_root / "slow.csv").read_bytes().splitlines()) == 51
    assert fetch(connection, SHOW_TIMEOUT) == ((1,),)


@pytest.mark.only_on("mysql")
@pytest.mark.parametrize("for_statement", [True, False], ids=["statement", "session"])
@pytest.mark.parametrize("is_atomic", [True, False], ids=["atomic", "autocommit"])
def test_failure_leaves_the_session_as_it_was(authors, spy, monkeypatch, for_statement, is_atomic):
    monkeypatch.setattr(SETS_FOR_STATEMENT, for_statement)
    fetch(connection, "SET SESSION net_write_timeout = 77")
    spy(lambda number: 1 / (number - 2))
    with transaction.atomic() if is_atomic else nullcontext():
        with pytest.raises(ZeroDivisionError):
            export_large(authors)
        spy(lambda number: None)
        with pytest.raises(Error):
            export_queryset(make_failing(authors, 35), ["pk", "odd"])
        assert fetch(connection, SHOW_TIMEOUT) == ((77,),)
    session = get_session_id(connection)
    assert fetch(connection, SHOW_TIMEOUT) == ((77,),)
    assert session == get_session_id(connection)

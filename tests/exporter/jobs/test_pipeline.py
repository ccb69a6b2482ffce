from __future__ import annotations

import math
import sqlite3
import threading
import time
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from hashlib import sha256

import pytest
from django.db import connection, connections, transaction
from django.db.backends.signals import connection_created
from django.db.models import Func, TextField, Value
from django.db.models.functions import Upper
from django.utils import timezone

from django_infra.exporter.exceptions import ExportInterrupted
from django_infra.exporter.export import export_queryset
from django_infra.exporter.jobs import progress
from django_infra.exporter.models import ExportState, QueryExport
from exporter.faults.authors import (
    COLUMNS,
    export_authors,
    make_authors,
    make_authors_csv,
    make_csv,
)
from exporter.faults.children import plan_chunks
from exporter.faults.marks import commits, commits_to_both, needs_sqlite
from exporter.faults.probes import (
    STALLING,
    fetch,
    find_files,
    find_open_files,
    find_sessions,
    find_threads,
    wait_until,
)
from testapp.models import Author, Everything

pytest_plugins = ["exporter.faults.fixtures"]
pytestmark = commits

SEEKING = "exporter.faults.writers.SeekingCSVWriter"
PROGRESS_SQL = "SELECT state, progress_percent, row_count FROM exporter_queryexport"


@pytest.fixture
def observe(second):
    """Return a function that records what another connection sees of the row, until it is told.

    It gives the list of what was seen and the function that ends the watch.
    """

    def watch(interval=0.02):
        seen = []
        ended = threading.Event()

        def look():
            while not ended.wait(interval):
                seen.extend(row for row in fetch(second, PROGRESS_SQL) if row not in seen[-1:])

        second.inc_thread_sharing()
        thread = threading.Thread(target=look)
        thread.start()

        def end():
            ended.set()
            thread.join()
            second.dec_thread_sharing()
            seen.extend(row for row in fetch(second, PROGRESS_SQL) if row not in seen[-1:])

        return seen, end

    return watch


@pytest.fixture
def new_connections():
    """The connections that are opened from now on, each with what it executes."""
    opened = []

    def log(connection, **kwargs):
        statements = []

        def note(execute, sql, params, many, context):
            statements.append(sql)
            return execute(sql, params, many, context)

        connection.execute_wrappers.append(note)
        opened.append((connection, statements))

    connection.ensure_connection()
    connection_created.connect(log)
    yield opened
    connection_created.disconnect(log)


# ----------------------------------------------------------------- what others can see


def test_states_and_progress_are_seen_from_another_connection(
    in_a_hurry, authors, spy, observe, new_connections, remains
):
    updates = []

    def note_update(execute, sql, params, many, context):
        if sql.startswith("UPDATE"):
            updates.append(sql)
        return execute(sql, params, many, context)

    spy(lambda number: time.sleep(0.04), chunk_size=2)
    seen, end = observe()
    started = time.monotonic()
    try:
        with connection.execute_wrapper(note_update):
            export = export_authors("observed.csv")
    finally:
        end()
    elapsed = time.monotonic() - started

    states = [state for state, _, _ in seen]
    assert list(dict.fromkeys(states)) in (
        ["scheduled", "processing", "success"],
        ["processing", "success"],
    )
    percents = [percent for _, percent, _ in seen if percent is not None]
    assert percents == sorted(percents)
    assert len(set(percents)) > 2
    assert [state for state, percent, _ in seen if percent == 100] == ["success"]
    counts = [count for _, _, count in seen if count is not None]
    assert counts == sorted(counts)
    assert counts[-1] == 50 == export.row_count
    assert export.progress_percent == 100

    # Some at the beginning and the end, and one in each interval between.
    told = [sql for _, statements in new_connections for sql in statements if "UPDATE" in sql]
    assert len(updates) <= 4
    assert 1 <= len(told) <= elapsed / progress.INTERVAL
    assert len(new_connections) == 2
    assert remains() == ["observed.csv"]


def test_whoever_watches_hears_of_the_rows_that_pass(in_a_hurry, authors, spy):
    spy(lambda number: time.sleep(0.04), chunk_size=2)
    seen = []

    export_authors(watch=lambda *counts: seen.append(counts))

    counts = [row_count for row_count, _ in seen]
    assert counts == sorted(set(counts))
    # Nobody has counted before the second interval.
    assert (seen[0], seen[-1]) == ((1, None), (50, 50))


def test_short_export_opens_no_connection_and_no_thread(authors, new_connections):
    for _ in range(3):
        assert export_authors().state == ExportState.SUCCESS
    assert new_connections == []
    assert find_threads() == []


def test_tracking_takes_a_statement_an_interval_and_six(
    in_a_hurry, authors, spy, new_connections, temp_dir
):
    statements = []

    def note(execute, sql, params, many, context):
        if "testapp_author" not in sql:
            statements.append(sql)
        return execute(sql, params, many, context)

    spy(lambda number: time.sleep(0.05))
    started = time.monotonic()
    with connection.execute_wrapper(note):
        assert export_authors().state == ExportState.SUCCESS
    elapsed = time.monotonic() - started
    statements += [sql for _, others in new_connections for sql in others]
    intervals = elapsed / progress.INTERVAL
    assert intervals > 4
    # The last interval may have begun when the clock is read.
    assert 6 <= len(statements) <= math.ceil(intervals) + 6, [
        sql[:60] + sql[-90:] for sql in statements
    ]


def test_number_of_queries_does_not_depend_on_the_number_of_rows(settings):
    counts = []
    settings.EXPORTER_CHUNK_SIZE = 2

    def count(execute, sql, params, many, context):
        counts[-1] += 1
        return execute(sql, params, many, context)

    for number in (1, 60):
        make_authors(number)
        counts.append(0)
        with connection.execute_wrapper(count):
            export_authors()
    assert counts[0] == counts[1] <= 9


def test_progress_of_a_failed_export_stays_below_a_hundred(in_a_hurry, authors, spy):
    def fail_at_the_end(number):
        time.sleep(0.1)
        if number == 6:
            raise ValueError("almost")

    spy(fail_at_the_end)
    with pytest.raises(ValueError, match="almost"):
        export_authors()
    export = QueryExport.objects.get()
    assert export.state == ExportState.FAIL
    assert 0 < export.progress_percent < 100


def test_duration_is_not_that_of_the_clock_on_the_wall(authors, spy, monkeypatch):
    now = timezone.now

    def turn_back(number):
        monkeypatch.setattr(timezone, "now", lambda: now() - timedelta(hours=1))

    spy(turn_back)
    export = export_authors()
    export.refresh_from_db()
    assert timedelta(0) < export.job_time < timedelta(minutes=5)
    assert timezone.is_aware(export.start_time)
    assert timezone.is_aware(export.finished_at)


def test_many_exports_leave_no_sessions_and_no_files_open(
    in_a_hurry, authors, spy, second, tmp_path
):
    sessions = len(find_sessions(second))
    for _ in range(3):
        export_authors()
    spy(lambda number: 1 / (number - 3))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            export_authors()
    spy(lambda number: time.sleep(0.1))
    export_authors()
    assert len(find_sessions(second)) == sessions
    assert find_open_files(tmp_path) == []
    assert find_threads() == []


# ----------------------------------------------------------------------------- odd sizes


@pytest.mark.parametrize("is_none", [True, False])
def test_no_rows_give_the_header_alone(authors, media_root, is_none):
    queries = []

    def note(execute, sql, params, many, context):
        queries.append(sql)
        return execute(sql, params, many, context)

    empty = Author.objects.none() if is_none else Author.objects.filter(name="Nobody")
    with connection.execute_wrapper(note):
        export = export_queryset(empty, COLUMNS, "empty.csv")
    assert (media_root / "empty.csv").read_bytes() == b"id,name\r\n"
    assert (export.row_count, export.file_size, export.progress_percent) == (0, 9, 100)
    assert any("testapp_author" in sql for sql in queries) != is_none


def test_row_of_one_empty_cell_is_a_row(media_root):
    names = ["", "None", "x"]
    Author.objects.bulk_create(Author(name=name) for name in names)
    Author.objects.create(name="y", born=None)
    ordered = Author.objects.order_by("pk")
    export = export_queryset(ordered, ["born"], "none.csv")
    assert (media_root / "none.csv").read_bytes() == b'born\r\n""\r\n""\r\n""\r\n""\r\n'
    assert export.row_count == 4
    export_queryset(ordered, ["name"], "empty.csv")
    assert (media_root / "empty.csv").read_bytes() == b'name\r\n""\r\nNone\r\nx\r\ny\r\n'


def test_thousand_columns(authors, media_root):
    headers = [f"c{number}" for number in range(1000)]
    wide = authors.annotate(**{header: Value(number) for number, header in enumerate(headers)})
    export = export_queryset(wide, headers, "wide.csv")
    assert (media_root / "wide.csv").read_bytes() == make_csv([range(1000)] * 50, headers)
    assert export.row_count == 50


@pytest.mark.parametrize(
    "size",
    [
        10 << 20,
        # MariaDB's max_allowed_packet is 16 MB by default.
        pytest.param(50 << 20, marks=pytest.mark.only_on("sqlite", "postgresql")),
    ],
)
@pytest.mark.parametrize("columns", [["text"], ["text", "char"]], ids=["alone", "beside"])
def test_huge_cell(child, media_root, size, columns):
    Everything.objects.create()
    # The database makes the text itself.
    template = (
        f"replace(hex(zeroblob({size // 2})), '0', 'x')"
        if connection.vendor == "sqlite"
        else f"repeat('x', {size})"
    )
    Everything.objects.update(text=Func(template=template, output_field=TextField()))
    outcome = child().call("export_huge_cell", path="huge.csv", columns=columns)
    assert outcome["state"] == ExportState.SUCCESS
    header, end = f"{','.join(columns)}\r\n".encode(), b"," * (len(columns) - 1) + b"\r\n"
    assert (media_root / "huge.csv").stat().st_size == len(header) + size + len(end)
    with (media_root / "huge.csv").open("rb") as file:
        assert file.readline() == header
        assert file.readline().removesuffix(end).strip(b"x") == b""
    assert outcome["growth"] < 50e6 + 3 * size


# ---------------------------------------------------------------- transactions and tests


def test_caller_who_rolls_back_takes_the_row_along(authors):
    with transaction.atomic():
        assert export_authors("orphan.csv").state == ExportState.SUCCESS
        assert QueryExport.objects.count() == 1
        transaction.set_rollback(True)
    assert QueryExport.objects.count() == 0


@contextmanager
def manual_transaction():
    """Switch autocommit off, and begin: a savepoint that begins SQLite's transaction ends it."""
    transaction.set_autocommit(False)
    try:
        Author.objects.create(name="Written before")
        yield
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


def test_failure_that_the_caller_catches_is_committed(authors, spy, second):
    spy(lambda number: 1 / (number - 3))
    with transaction.atomic():
        with pytest.raises(ZeroDivisionError):
            export_authors()
        assert not fetch(second, PROGRESS_SQL)
    export = QueryExport.objects.get()
    assert export.state == ExportState.FAIL
    assert "ZeroDivisionError" in export.error_log


def test_failure_without_autocommit_belongs_to_the_transaction(authors, spy):
    spy(lambda number: 1 / (number - 3))
    with manual_transaction():
        with pytest.raises(ZeroDivisionError):
            export_authors()
        transaction.commit()
    assert QueryExport.objects.get().state == ExportState.FAIL
    assert Author.objects.filter(name="Written before").exists()


def test_export_without_autocommit_belongs_to_the_transaction(authors, media_root):
    with manual_transaction():
        assert export_authors("rolled-back.csv").state == ExportState.SUCCESS
        transaction.rollback()
    assert QueryExport.objects.count() == 0
    with manual_transaction():
        assert export_authors("committed.csv").state == ExportState.SUCCESS
        transaction.commit()
    assert QueryExport.objects.get().state == ExportState.SUCCESS
    assert b"Written before" in (media_root / "committed.csv").read_bytes()


@pytest.mark.django_db
def test_export_within_a_test_case_needs_nothing_special(
    in_a_hurry, spy, new_connections, media_root
):
    Author.objects.create(name="Only in this transaction")
    spy(lambda number: time.sleep(0.2))
    export = export_authors("test.csv")
    assert b"Only in this transaction" in (media_root / "test.csv").read_bytes()
    assert QueryExport.objects.get() == export
    assert export.state == ExportState.SUCCESS
    assert new_connections == []
    assert find_threads() == []


@pytest.mark.django_db
def test_failure_within_a_test_case_is_in_the_row(spy):
    Author.objects.create(name="Only in this transaction")
    spy(lambda number: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            export_authors()
    assert [export.state for export in QueryExport.objects.all()] == ["fail", "fail"]
    assert Author.objects.count() == 1


# ----------------------------------------------------------------------- two databases


class KeepExportsElsewhere:
    """Keep the tracking rows in the database ``other``, and all the rest in ``default``."""

    def db_for_read(self, model, **hints):
        return "other" if model is QueryExport else None

    db_for_write = db_for_read


@commits_to_both
@pytest.mark.parametrize("is_slow", [False, True])
def test_rows_of_another_database(in_a_hurry, spy, media_root, is_slow):
    others = make_authors(30, using="other")
    spy(lambda number: time.sleep(0.1 * is_slow))
    export = export_queryset(others, COLUMNS, "others.csv")
    assert (media_root / "others.csv").read_bytes() == make_authors_csv(others)
    assert QueryExport.objects.using("default").get() == export
    assert not QueryExport.objects.using("other").exists()
    assert export.state == ExportState.SUCCESS


@commits_to_both
@pytest.mark.parametrize("fails", [False, True])
def test_tracking_row_in_another_database(settings, spy, media_root, fails):
    authors = make_authors(30)
    settings.DATABASE_ROUTERS = ["exporter.jobs.test_pipeline.KeepExportsElsewhere"]
    spy(lambda number: 1 / (number - 2) if fails else None)
    if fails:
        with pytest.raises(ZeroDivisionError):
            export_authors("rows.csv")
    else:
        export_authors("rows.csv")
        assert (media_root / "rows.csv").read_bytes() == make_authors_csv(authors)
    assert not QueryExport.objects.using("default").exists()
    state = QueryExport.objects.using("other").get().state
    assert state == (ExportState.FAIL if fails else ExportState.SUCCESS)


@commits_to_both
def test_tracking_row_outlives_the_transaction_of_the_data(settings, spy):
    make_authors(30)
    settings.DATABASE_ROUTERS = ["exporter.jobs.test_pipeline.KeepExportsElsewhere"]
    spy(lambda number: 1 / (number - 2))
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        export_authors("rows.csv")
    assert QueryExport.objects.get().state == ExportState.FAIL


@pytest.mark.django_db(databases=["default", "other"])
@pytest.mark.parametrize("fails", [False, True])
def test_two_databases_within_a_test_case(settings, spy, fails):
    others = make_authors(30, using="other")
    spy(lambda number: 1 / (number - 2) if fails else None)
    if fails:
        with pytest.raises(ZeroDivisionError):
            export_queryset(others, COLUMNS)
    else:
        export_queryset(others, COLUMNS)
    state = QueryExport.objects.get().state
    assert state == (ExportState.FAIL if fails else ExportState.SUCCESS)


# -------------------------------------------------------------------- before the first row


@pytest.mark.parametrize("ending", ["deleted", "failed"])
def test_export_that_is_not_wanted_ends_before_its_first_row(in_a_hurry, remains, ending):
    make_authors(1)

    def end():
        """Wait for a sign of the worker, and then end the export as another process would."""
        export = wait_until(QueryExport.objects.processing().first)
        signs = QueryExport.objects.filter(heartbeat_at__gt=export.heartbeat_at)
        wait_until(signs.exists)
        if ending == "deleted":
            export.delete()
        else:
            export.fail(RuntimeError("Stopped by hand."))
        connections.close_all()

    thread = threading.Thread(target=end)
    thread.start()
    slow = Author.objects.extra(where=[STALLING[connection.vendor]])
    with pytest.raises(ExportInterrupted):
        export_queryset(slow, COLUMNS)
    thread.join()
    assert remains() == []
    if ending == "failed":
        assert "Stopped by hand." in QueryExport.objects.get().error_log
    assert export_authors().state == ExportState.SUCCESS


# ------------------------------------------------------------------ columns and checksum


@pytest.mark.parametrize("fails", [False, True])
def test_row_has_the_columns_whatever_becomes_of_it(authors, spy, fails):
    spy(lambda number: 1 / (not fails))
    values = {"id": "No.", "Uppe\0r": Upper("name"), "name": "Na\N{SNOWMAN}me"}
    with suppress(ZeroDivisionError):
        export_queryset(authors, values)
    export = QueryExport.objects.get()
    assert export.state == (ExportState.FAIL if fails else ExportState.SUCCESS)
    assert export.columns == [
        {"name": "id", "header": "No."},
        # What PostgreSQL can hold.
        {"name": None, "header": "Uppe\N{REPLACEMENT CHARACTER}r"},
        {"name": "name", "header": "Na\N{SNOWMAN}me"},
    ]
    assert bool(export.checksum) != fails


@pytest.mark.parametrize("writer", ["django_infra.exporter.writers.csv.CSVWriter", SEEKING])
def test_checksum_is_that_of_the_stored_file(authors, settings, media_root, writer):
    settings.EXPORTER_FORMATS = {"csv": {"BACKEND": writer}}
    export = export_authors("authors.csv")
    content = (media_root / "authors.csv").read_bytes()
    assert (content[:1] == b"#", content[-3:] == b"end") == (writer == SEEKING,) * 2
    assert export.checksum == sha256(content).hexdigest()
    assert QueryExport.objects.get().checksum == export.checksum


# -------------------------------------------------------------------------------- SQLite


@pytest.fixture
def rollback_journal():
    """The default database without a write-ahead log, and a plain connection that may look."""
    assert fetch(connection, "PRAGMA journal_mode=DELETE") == [("delete",)]
    plain = sqlite3.connect(connection.settings_dict["NAME"])
    yield plain
    plain.close()
    connection.close()
    assert fetch(connection, "PRAGMA journal_mode") == [("wal",)]


@needs_sqlite
def test_rollback_journal_is_told_between_two_chunks(
    in_a_hurry, rollback_journal, spy, new_connections, media_root
):
    authors = make_authors(50)
    seen = []

    def look(number):
        time.sleep(0.11)
        seen.extend(rollback_journal.execute(PROGRESS_SQL).fetchall())

    spy(look)
    export = export_authors("inline.csv")
    assert (media_root / "inline.csv").read_bytes() == make_authors_csv(authors)
    assert {state for state, _, _ in seen} == {"processing"}
    counts = [count for _, _, count in seen]
    assert counts == sorted(counts)
    assert len(set(counts)) > 1
    assert max(percent or 0 for _, percent, _ in seen) > 0
    assert rollback_journal.execute(PROGRESS_SQL).fetchall() == [("success", 100, 50)]
    assert export.progress_percent == 100
    assert new_connections == []


@needs_sqlite
def test_rollback_journal_stops_an_export_whose_row_is_gone(
    in_a_hurry, rollback_journal, spy, remains
):
    make_authors(50)
    spy(lambda number: time.sleep(0.11) or (number == 2 and QueryExport.objects.all().delete()))
    with pytest.raises(Exception, match="deleted or ended"):
        export_authors()
    assert remains() == []


@needs_sqlite
def test_rollback_journal_is_told_while_the_checksum_is_computed(
    in_a_hurry, rollback_journal, settings, remains
):
    settings.EXPORTER_FORMATS = {"csv": {"BACKEND": "exporter.faults.writers.SparseCSVWriter"}}
    make_authors(1)
    sql = "SELECT heartbeat_at FROM exporter_queryexport"
    signs = []

    def watch_and_end():
        with closing(sqlite3.connect(connection.settings_dict["NAME"])) as plain:
            wait_until(lambda: find_files(settings.EXPORTER_TEMP_DIR))
            for _ in range(5):
                time.sleep(0.3)
                signs.extend(plain.execute(sql).fetchall())
            plain.execute("DELETE FROM exporter_queryexport")
            plain.commit()

    thread = threading.Thread(target=watch_and_end)
    thread.start()
    with pytest.raises(ExportInterrupted):
        export_authors()
    thread.join()
    assert len(set(signs)) > 2
    assert remains() == []


@needs_sqlite
@pytest.mark.parametrize("name", [":memory:", "file:exports?mode=memory&cache=shared"])
def test_sqlite_in_memory(child, media_root, name):
    database = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": name,
        "OPTIONS": {"uri": True} if "?" in name else {},
    }
    worker = child(databases={"default": database}, **plan_chunks("nap"))
    worker.call("hurry", interval=0.05)
    worker.call("prepare_database", authors=50)
    outcome = worker.call("export_authors", path="memory.csv")
    assert outcome["state"] == ExportState.SUCCESS
    assert len((media_root / "memory.csv").read_text().splitlines()) == 51
    assert [row["state"] for row in worker.call("read_exports")] == ["success"]

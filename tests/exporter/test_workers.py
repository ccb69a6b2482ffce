from __future__ import annotations

import os
import re
import shutil
import signal
from functools import partial

import pytest
from django.db import connection

from django_infra.exporter.exceptions import HandoverFailed
from django_infra.exporter.export import enqueue_export, schedule_export
from django_infra.exporter.models import ExportState, QueryExport
from django_infra.exporter.runners import get_runner
from exporter.faults.authors import make_authors, make_csv
from exporter.faults.children import plan_chunks
from exporter.faults.marks import COMMITTING, needs_postgresql
from exporter.faults.probes import fetch, find_files, wait_until, wait_until_stopped
from exporter.faults.servers import PostgreSQL, Redis, find_free_port, find_program
from exporter.workers.holds import count_chunks

pytest_plugins = ["exporter.faults.fixtures", "exporter.workers.fixtures"]
# The permission of a named export is looked for among the models of its app.
APPS = [*COMMITTING["available_apps"], "testapp"]
pytestmark = pytest.mark.django_db(**COMMITTING | {"available_apps": APPS})

LEASE = 2
ENGINES = ["tasks", "celery-redis", "celery-rabbitmq"]
# Where it makes no difference which broker it is.
KINDS = ["tasks", "celery-redis"]
# One database is enough to know how all of them go together.
if connection.vendor != "postgresql":
    ENGINES, KINDS = KINDS, ["tasks"]


def on(engines):
    """Run the test with each of the engines."""
    return pytest.mark.parametrize("engine", engines, indirect=True)


def enqueue(**params):
    return enqueue_export("authors", params)


def make_expected(authors, padding=0):
    rows = [(*row, "x" * padding) for row in authors.values_list("id", "name")]
    return make_csv(rows, ["No.", "Name", "Padding"])


def recover_until(condition):
    """Wait, with a recovery now and then."""

    def recover():
        get_runner().recover()
        return condition()

    wait_until(recover)


def wait_for_end(export):
    """Wait until the export has ended and nobody works on it."""

    def has_ended():
        export.refresh_from_db()
        is_over = export.state in (ExportState.SUCCESS, ExportState.FAIL)
        return is_over and export.path_key is None

    recover_until(has_ended)


def has_got_over(export, *, attempt):
    """Tell whether a next attempt has begun, or none will."""
    export.refresh_from_db()
    return export.attempt > attempt or export.state == ExportState.FAIL


def assert_succeeded(export, authors, media_root, *, attempt=1):
    """Check that there is one file, the right one, and a row that tells the truth."""
    wait_for_end(export)
    assert export.state == ExportState.SUCCESS, export.error_log
    assert export.attempt == attempt
    assert [failure["attempt"] for failure in export.failures] == list(range(1, attempt))
    expected = make_expected(authors)
    assert (media_root / export.file.name).read_bytes() == expected
    assert (export.row_count, export.file_size) == (len(authors), len(expected))


def assert_failed(export, error):
    wait_for_end(export)
    assert export.state == ExportState.FAIL
    assert error in export.error_log
    assert export.finished_at is not None
    assert not export.file


# ----------------------------------------------------------------------------- all is well


@on(ENGINES)
def test_job_is_done_by_the_workers_of_its_queue(engine, settings, authors, media_root, remains):
    engine.start()
    settings.EXPORTER_RUNNER = engine.get_runner(**engine.unheard_queue)
    unheard = enqueue()
    settings.EXPORTER_RUNNER = engine.get_runner()
    export = enqueue()
    assert_succeeded(export, authors, media_root)
    assert remains() == [export.file.name]
    unheard.refresh_from_db()
    assert unheard.state == ExportState.SCHEDULED


# ------------------------------------------------------------------------ workers that die


@on(ENGINES)
def test_killed_attempt_is_made_again_by_another_worker(
    engine, settings, authors, holds, media_root, remains
):
    settings.EXPORTER_LEASE = LEASE
    engine.start()
    export = enqueue()
    os.kill(holds.wait(), signal.SIGKILL)
    if not engine.has_pool:
        engine.start()
    assert_succeeded(export, authors, media_root, attempt=2)
    assert "Worker lost" in export.failures[0]["error"]
    assert remains() == [export.file.name]


@on(ENGINES[1:])
def test_machine_that_goes_down_loses_no_job(engine, settings, authors, holds, media_root, remains):
    settings.EXPORTER_LEASE = LEASE
    worker = engine.start()
    export = enqueue()
    holds.wait()
    worker.kill_all()
    engine.start()
    assert_succeeded(export, authors, media_root, attempt=2)
    assert remains() == [export.file.name]


@on(KINDS)
def test_job_whose_workers_all_die_fails(engine, settings, holds, authors, remains):
    settings.EXPORTER_LEASE = LEASE
    settings.EXPORTER_MAX_ATTEMPTS = settings.EXPORTER_HOLDS = 2
    engine.start()
    export = enqueue()
    for number in range(2):
        os.kill(holds.wait(number), signal.SIGKILL)
        if not engine.has_pool:
            engine.start()
        recover_until(partial(has_got_over, export, attempt=number + 1))
    assert_failed(export, "Worker lost: no heartbeat for 2 seconds in attempt 2.")
    assert export.attempt == 2
    assert [failure["attempt"] for failure in export.failures] == [1]
    assert remains() == []


@on(ENGINES)
def test_worker_that_is_told_to_end_finishes_its_job_first(
    engine, holds, authors, media_root, remains
):
    worker = engine.start()
    export = enqueue()
    holds.wait()
    worker.send(signal.SIGTERM)
    wait_until(lambda: re.search("shutting down gracefully|Warm shutdown", worker.log))
    holds.release()
    assert worker.wait() == 0
    assert_succeeded(export, authors, media_root)
    assert remains() == [export.file.name]


@on(["tasks"])
def test_worker_that_is_told_again_to_end_fails_its_job(engine, holds, authors, remains):
    worker = engine.start()
    export = enqueue()
    holds.wait()
    worker.send(signal.SIGTERM)
    wait_until(lambda: "shutting down gracefully" in worker.log)
    worker.send(signal.SIGTERM)
    wait_until(lambda: not worker.is_alive or "terminating" in worker.log)
    assert_failed(export, "SystemExit: 1")
    assert remains() == []


@on(["celery-redis"])
@pytest.mark.parametrize(
    ("limit", "error"),
    [("soft_time_limit", "SoftTimeLimitExceeded"), ("time_limit", "SystemExit")],
)
@pytest.mark.usefixtures("holds")
def test_time_limit_fails_the_job(engine, settings, authors, remains, limit, error):
    # On a busy machine a worker takes more than a second to begin.
    settings.EXPORTER_RUNNER = engine.get_runner(**{limit: 3})
    engine.start()
    export = enqueue()
    assert_failed(export, error)
    assert export.attempt == 1
    assert remains() == []


@on(KINDS)
def test_stopped_worker_does_no_harm_to_its_successor(
    engine, settings, holds, authors, media_root, remains
):
    settings.EXPORTER_LEASE = LEASE
    zombie = engine.start()
    export = enqueue()
    pid = holds.wait()
    os.kill(pid, signal.SIGSTOP)
    wait_until_stopped(pid)
    if not engine.has_pool:
        engine.start()
    assert_succeeded(export, authors, media_root, attempt=2)
    path = media_root / export.file.name
    written_at = path.stat().st_mtime_ns

    holds.release()
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: "ended by somebody else" in zombie.log)
    assert_succeeded(export, authors, media_root, attempt=2)
    assert path.stat().st_mtime_ns == written_at
    assert remains() == [export.file.name]


# ------------------------------------------------------ messages that come more than once


@on(ENGINES)
def test_message_that_comes_twice_has_the_job_done_once(
    engine, holds, authors, media_root, remains
):
    workers = [engine.start(), engine.start()]
    export = schedule_export("authors")
    for _ in range(3):
        get_runner().enqueue(export.id)
    holds.wait()
    wait_until(lambda: count_refusals(workers) == 2)
    holds.release()
    assert_succeeded(export, authors, media_root)

    path = media_root / export.file.name
    before = path.stat(), QueryExport.objects.values().get()
    get_runner().enqueue(export.id)
    wait_until(lambda: count_refusals(workers) == 3)
    assert (path.stat(), QueryExport.objects.values().get()) == before
    assert remains() == [export.file.name]


def count_refusals(workers):
    """Return how many messages the workers did nothing about."""
    text = "".join(worker.log for worker in workers)
    return text.count("is not scheduled:") + text.count("was taken by another worker.")


def test_message_that_redis_gives_to_another_worker_does_not_begin_the_job_again(
    use_engine, holds, authors, media_root, remains
):
    engine = use_engine(
        "celery-redis",
        visibility_timeout=1,
        unacked_restore_interval=1,
        unacked_restore_throttle=1,
    )
    worker = engine.start()
    export = enqueue()
    holds.wait()
    wait_until(lambda: count_refusals([worker]) >= 1)
    holds.release()
    assert_succeeded(export, authors, media_root)
    assert remains() == [export.file.name]


@on(KINDS)
def test_message_of_a_job_that_is_none_does_no_harm(engine, authors, media_root):
    worker = engine.start()
    failed = schedule_export("authors")
    failed.cancel()
    for id in ("Author-20260101000000-xxxxxxxxxxxxxxxxxxxxxx", "", "../../etc/passwd", failed.id):
        get_runner().enqueue(id)
    export = enqueue()
    assert_succeeded(export, authors, media_root)
    wait_until(lambda: count_refusals([worker]) == 4)
    assert_failed(failed, "Cancelled")
    assert QueryExport.objects.count() == 2


PROCESSES = 20
ROUNDS = 15


def test_of_twenty_processes_one_does_the_job(authors, child, media_root, remains):
    exports = [schedule_export("authors") for _ in range(ROUNDS)]
    outcome = child().call(
        "exporter.workers.roles.race_for_jobs",
        ids=[export.id for export in exports],
        processes=PROCESSES,
    )
    assert outcome == {"begun": [1] * ROUNDS, "exit_codes": [0] * PROCESSES}
    for export in exports:
        assert_succeeded(export, authors, media_root)
    assert sorted(remains()) == sorted(export.file.name for export in exports)


# --------------------------------------------------------------------------------- cancels


# Two seconds by promise, told by chunks of which each takes a twentieth of a second or more.
STOPPING_CHUNKS = 40

QUERIES = {
    "postgresql": (
        "SELECT query FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND state = 'active'"
    ),
    "mysql": (
        "SELECT info FROM information_schema.processlist"
        " WHERE db = DATABASE() AND id <> CONNECTION_ID() AND info IS NOT NULL"
    ),
}


def find_queries():
    """Return the statements that read authors for others at this moment."""
    found = fetch(connection, QUERIES.get(connection.vendor))
    return [sql for (sql,) in found if "testapp_author" in sql]


@on(KINDS)
def test_waiting_job_is_cancelled_at_once(engine, authors, remains):
    export = enqueue()
    assert export.cancel()
    assert_failed(export, "Cancelled")
    worker = engine.start()
    wait_until(lambda: count_refusals([worker]) == 1)
    assert_failed(export, "Cancelled")
    assert remains() == []


@on(KINDS)
@pytest.mark.parametrize("moment", ["before the first row", "between rows"])
def test_running_job_is_cancelled_within_two_seconds(
    engine, db, settings, remains, tmp_path, moment
):
    make_authors(300)
    settings.EXPORTER_HOLD_DIR = str(tmp_path)
    engine.start(**plan_chunks("exporter.workers.holds.nap_and_count", chunk_size=1))
    if moment == "between rows":
        # So much that the server cannot have sent it all before it is read.
        export = enqueue(padding=100_000)
        wait_until(lambda: has_counted(export))
    else:
        export = enqueue_export("stalling-authors")
        wait_until(find_queries if connection.vendor in QUERIES else partial(has_begun, export))
    before = count_chunks(tmp_path)
    assert export.cancel()
    # The stalled query alone would take two minutes.
    wait_until(lambda: has_stopped(export) and not find_queries())
    assert count_chunks(tmp_path) - before <= STOPPING_CHUNKS
    assert_failed(export, "Cancelled")
    assert remains() == []


def has_begun(export):
    export.refresh_from_db()
    return export.state == ExportState.PROCESSING


def has_counted(export):
    return has_begun(export) and export.row_count


def has_stopped(export):
    """Tell whether the worker has given the path free, which it does at last."""
    export.refresh_from_db()
    return export.path_key is None


# ----------------------------------------------------------------- servers that are away


@pytest.fixture
def redis():
    if shutil.which("redis-server") is None:
        pytest.skip("the program of a Redis server is not installed")
    with Redis() as redis:
        yield redis


@pytest.mark.parametrize(
    ("name", "url"), [("redis", "redis://127.0.0.1:{}/0"), ("rabbitmq", "amqp://127.0.0.1:{}//")]
)
def test_broker_that_is_away_fails_the_job(settings, use_engine, authors, remains, name, url):
    use_engine(f"celery-{name}", url=url.format(find_free_port()))
    with pytest.raises(HandoverFailed, match="CeleryRunner did not take the job"):
        enqueue()
    assert_failed(QueryExport.objects.get(), "HandoverFailed")
    assert remains() == []


def test_jobs_that_redis_has_forgotten_are_handed_over_again(
    use_engine, redis, settings, holds, authors, media_root, remains
):
    settings.EXPORTER_HANDOVER_TIMEOUT = 2
    engine = use_engine("celery-redis", url=redis.url)
    engine.concurrency = 1
    engine.start()
    running = enqueue()
    holds.wait()
    waiting = enqueue()
    redis.restart()
    holds.release()
    for export in (running, waiting):
        assert_succeeded(export, authors, media_root)
    assert sorted(remains()) == sorted([running.file.name, waiting.file.name])


@needs_postgresql
def test_database_that_restarts_costs_an_attempt(
    use_engine, settings, child, holds, temp_dir, media_root
):
    if find_program("initdb") is None:
        pytest.skip("the programs of a PostgreSQL server are not installed")
    settings.EXPORTER_RETRY_DELAY = 0.2
    engine = use_engine("celery-redis")
    with PostgreSQL() as server:
        caller = child(databases=server.get_databases())
        caller.call("prepare_database", authors=50)
        engine.start(databases=server.get_databases())
        caller.call(
            "exporter.workers.roles.enqueue",
            name="authors",
            broker=engine.broker.get_arguments(),
            queue=engine.broker.queue,
        )
        holds.wait()
        server.restart()
        holds.release()
        reader = child(databases=server.get_databases())
        row = wait_until(lambda: find_ended(reader.call("read_exports")))
    assert row["state"] == ExportState.SUCCESS, row["error_log"]
    assert (row["attempt"], row["row_count"]) == (2, 50)
    assert "OperationalError" in row["failures"][0]["error"]
    assert len(find_files(media_root)) == 1
    assert find_files(temp_dir) == []


def find_ended(rows):
    return next((row for row in rows if row["state"] in ("success", "fail")), None)

"""Databases that are away for a while, in each phase of a job and while a fault is handled."""

from __future__ import annotations

import itertools
import os
import re
import signal
import time
from datetime import timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from django.db import Error, connection
from django.db.models import F

from django_infra.exporter.delivery import Delivery
from django_infra.exporter.export import enqueue_export, export_queryset
from django_infra.exporter.housekeeping.recovery import recover_exports
from django_infra.exporter.jobs import pipeline
from django_infra.exporter.jobs.worker import run_job
from django_infra.exporter.models import ExportState, QueryExport
from exporter.faults.marks import needs_postgresql, needs_server
from exporter.faults.probes import fetch, find_files, wait_until_stopped
from exporter.faults.servers import DeafProxy, PostgreSQL, RefusingProxy, find_program

pytest_plugins = ["exporter.faults.fixtures"]

# The cancel of psycopg2 stops the whole process, of which the proxy is a part.
needs_proxy = pytest.mark.only_on("psycopg", "mysql")
pytestmark = [
    # With the tables of users, whom an export belongs to.
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("committed_rows"),
]

PORTS = {"postgresql": 5432, "mysql": 3306}
OURS = "django_infra.exporter"
ROW = f"{OURS}.models.QueryExport"
# Where a job is when the server goes away, from its first word to its last.
PHASES = {
    "finding": f"{OURS}.jobs.worker._find",
    "claiming": f"{ROW}.claim",
    "permitting": f"{OURS}.jobs.worker._load_owner",
    "building": f"{OURS}.registry.named_export.FunctionExport.get_queryset",
    "streaming": f"{OURS}.jobs.progress.ThreadedProgress.advance",
    "hashing": f"{OURS}.delivery.base.Delivery.compute_checksum",
    "delivering": f"{ROW}.begin_delivery",
    "saving": f"{OURS}.delivery.base.Delivery.deliver",
    "succeeding": f"{ROW}.succeed",
    "beginning again": f"{ROW}.try_again",
    "waiting": f"{OURS}.jobs.pipeline.keep_claim",
}
LEASE = 6  # seconds, of which a worker insists for two
AWAY = (3, 8, 11, 14, 20, 26)  # seconds, of a lease of 60


@pytest.fixture(scope="module")
def server():
    if find_program("initdb") is None:
        pytest.skip("the programs of a PostgreSQL server are not installed")
    with PostgreSQL() as server:
        yield server


@pytest.fixture
def worker(server, child, settings, temp_dir):
    settings.EXPORTER_LEASE = LEASE
    settings.EXPORTER_RETRY_DELAY = 0.1
    worker = child(databases=server.get_databases())
    worker.call("prepare_database", authors=50)
    return worker


@needs_postgresql
@pytest.mark.external
@pytest.mark.sample(6)
@pytest.mark.parametrize("away", AWAY)
@pytest.mark.parametrize("phase", PHASES)
def test_job_outlives_a_server_that_is_away(server, worker, media_root, temp_dir, phase, away):
    export_id = worker.call("schedule", padding=100_000)
    if phase in ("beginning again", "waiting"):
        worker.call("break_at", target=PHASES["saving"])
    worker.call("pause_at", target=PHASES[phase])
    worker.begin("run", export_id=export_id)
    assert worker.finish() == "paused"
    server.stop()
    worker.proceed()
    time.sleep(away * LEASE / 60)
    server.start()
    outcome = worker.finish()
    assert outcome["error"] is None
    (row,) = worker.call("read_exports")
    if row["state"] != ExportState.SUCCESS:
        assert row["state"] != ExportState.FAIL, row["error_log"]
        assert "left to the recovery" in outcome["log"][-1]
        (outcome,) = worker.call("recover_and_run")
        assert outcome["error"] is None
        (row,) = worker.call("read_exports")
    assert row["state"] == ExportState.SUCCESS, row["error_log"]
    assert row["row_count"] == 50
    (name,) = find_files(media_root)
    assert len((media_root / name).read_bytes().splitlines()) == 51
    assert find_files(temp_dir) == []


@pytest.fixture
def refuse(monkeypatch, settings):
    """Have a proxy refuse what says a word, between this process and the server."""
    settings.EXPORTER_LEASE = 2
    settings.EXPORTER_RETRY_DELAY = 0.01
    proxies = []

    def refuse(word, proxy=RefusingProxy):
        address = connection.settings_dict
        port = address["PORT"] or PORTS[connection.vendor]
        proxies.append(proxy(address["HOST"], port, word).__enter__())
        connection.close()
        monkeypatch.setitem(address, "HOST", "127.0.0.1")
        monkeypatch.setitem(address, "PORT", str(proxies[0].port))
        return proxies[0]

    yield refuse
    connection.close()
    monkeypatch.undo()
    for proxy in proxies:
        proxy.__exit__()


def break_once(number, *, calls):
    if next(calls) == 0:
        raise ConnectionError("The line is dead.")


def age():
    hour = timedelta(hours=1)
    QueryExport.objects.update(heartbeat_at=F("heartbeat_at") - hour)


def assert_left_to_recovery(export, box, attempt=1):
    """Check that the row waits for the recovery, and that another worker ends the job well."""
    export.refresh_from_db()
    assert (export.state, export.attempt) == (ExportState.PROCESSING, attempt)
    age()
    assert recover_exports(box.append).rescheduled == 1
    run_job(box.pop())
    export.refresh_from_db()
    assert (export.state, export.attempt) == (ExportState.SUCCESS, attempt + 1)


@needs_server
@needs_proxy
def test_second_fault_is_not_the_end(authors, box, spy, refuse, caplog, remains):
    """The server refuses to hear of the next attempt, and would take a failure."""
    spy(partial(break_once, calls=itertools.count()))
    export = enqueue_export("authors")
    box.clear()
    proxy = refuse(b"ended_at")
    run_job(export.id)
    assert proxy.is_cut
    assert f"{export.id} is left to the recovery: the database has been away" in caplog.text
    proxy.is_refusing = False
    assert_left_to_recovery(export, box)
    assert remains() == [export.file.name]


@needs_server
def test_worker_insists_for_a_third_of_the_lease_in_all(
    authors, box, refuse, settings, monkeypatch, remains
):
    """It cannot say that the delivery begins, nor that the next attempt does."""
    export = enqueue_export("authors")
    box.clear()
    proxy = refuse(b"")
    proxy.is_refusing = False
    settings.EXPORTER_LEASE = 60
    naps = []
    clock = SimpleNamespace(monotonic=lambda: sum(naps), sleep=naps.append)
    monkeypatch.setattr(pipeline, "time", clock)

    compute_checksum = Delivery.compute_checksum

    def compute_and_cut(delivery):
        proxy.is_refusing = True
        return compute_checksum(delivery)

    with monkeypatch.context() as outage:
        outage.setattr(Delivery, "compute_checksum", compute_and_cut)
        run_job(export.id)
    assert sum(naps) == pytest.approx(20)
    assert naps[:5] == [0.2, 0.5, 1, 2, 4]
    proxy.is_refusing = False
    assert_left_to_recovery(export, box)
    assert remains() == [export.file.name]


@needs_server
@pytest.mark.parametrize("word", [b"= 'processing'", b"exporter_queryexport"])
def test_job_that_cannot_be_claimed_is_left(authors, box, refuse, caplog, word):
    export = enqueue_export("authors")
    proxy = refuse(word)
    run_job(export.id)
    assert "is left to the recovery" in caplog.text
    proxy.is_refusing = False
    export.refresh_from_db()
    assert export.state == ExportState.SCHEDULED
    run_job(export.id)
    export.refresh_from_db()
    assert export.state == ExportState.SUCCESS


@needs_server
def test_synchronous_export_leaves_its_row_to_the_recovery(authors, spy, refuse, remains):
    proxy = refuse(b"")
    proxy.is_refusing = False

    def cut(number):
        proxy.is_refusing = True

    spy(cut)
    with pytest.raises(Error):
        export_queryset(authors, ["id"])
    proxy.is_refusing = False
    assert remains() == []
    export = QueryExport.objects.get()
    assert export.state == ExportState.PROCESSING
    age()
    assert recover_exports().failed == 1
    export.refresh_from_db()
    assert export.state == ExportState.FAIL
    assert "Worker lost" in export.error_log


@needs_server
@needs_proxy
def test_failure_whose_confirmation_is_lost_is_that_failure(authors, spy, refuse):
    proxy = refuse(b"ZeroDivisionError", DeafProxy)
    spy(lambda number: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_queryset(authors, ["id"])
    assert proxy.is_cut
    assert "ZeroDivisionError" in QueryExport.objects.get().error_log


@needs_postgresql
def test_session_that_was_idle_in_its_transaction_costs_an_attempt(authors, box, spy, settings):
    settings.EXPORTER_RETRY_DELAY = 0.01
    export = enqueue_export("authors")
    fetch(connection, "SELECT set_config('idle_in_transaction_session_timeout', '200', false)")
    spy(lambda number: time.sleep(1) if number == 1 else None)
    run_job(export.id)
    export.refresh_from_db()
    assert (export.state, export.attempt) == (ExportState.SUCCESS, 2)
    (failure,) = export.failures
    assert re.search("idle-in-transaction timeout|closed the connection", failure["error"])


@needs_postgresql
def test_session_that_was_idle_does_no_harm(authors, box, settings):
    backend = "exporter.faults.storages.SlowStorage"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    export = enqueue_export("authors")
    fetch(connection, "SELECT set_config('idle_session_timeout', '200', false)")
    run_job(export.id)
    export.refresh_from_db()
    assert (export.state, export.attempt) == (ExportState.SUCCESS, 1)


@pytest.mark.external
@pytest.mark.parametrize("is_job", [True, False])
def test_stalled_worker_that_wakes_up_is_interrupted(
    authors, box, child, media_root, temp_dir, is_job
):
    """It finds its unfinished file removed, and another attempt has succeeded."""
    export = enqueue_export("authors", file_path="a.csv") if is_job else None
    stalled = child()
    stalled.call("stop_at", target=f"{OURS}.delivery.filesystem.FileSystemDelivery.save")
    if is_job:
        stalled.begin("run", export_id=export.id)
    else:
        stalled.begin("export_authors", path="a.csv")
    wait_until_stopped(stalled.process.pid)
    age()
    box.clear()
    recover_exports(box.append)
    for export_id in box:
        run_job(export_id)
    os.kill(stalled.process.pid, signal.SIGCONT)
    outcome = stalled.finish()
    row = QueryExport.objects.get()
    if is_job:
        assert outcome["error"] is None
        (line,) = outcome["log"]
        assert "a recovery took the export for lost" in line
        assert (row.state, row.attempt) == (ExportState.SUCCESS, 2)
        assert find_files(media_root, temp_dir) == [row.file.name]
    else:
        assert outcome["error"] == "ExportInterrupted"
        assert row.state == ExportState.FAIL
        assert find_files(media_root, temp_dir) == []

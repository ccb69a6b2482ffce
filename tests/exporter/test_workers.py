from __future__ import annotations

import os
import signal
import time

import pytest
from django.db import connection

from django_infra.exporter.export import enqueue_export
from django_infra.exporter.models import ExportState, QueryExport
from django_infra.exporter.runners import get_runner
from exporter.faults.authors import make_csv
from exporter.faults.marks import COMMITTING
from exporter.faults.probes import find_files, wait_until

pytest_plugins = ["exporter.faults.fixtures", "exporter.workers.fixtures"]
# The permission of a named export is looked for among the models of its app.
APPS = [*COMMITTING["available_apps"], "testapp"]
pytestmark = pytest.mark.django_db(**COMMITTING | {"available_apps": APPS})

LEASE = 2
# On one database each is enough to know how Celery goes with it.
ENGINES = ["tasks", "celery-redis", "celery-rabbitmq"]
if connection.vendor != "postgresql":
    ENGINES = ["tasks"]
CELERY = ENGINES[1:]


def on(engines):
    """Run the test with each of the engines."""
    return pytest.mark.parametrize("engine", engines, indirect=True)


def enqueue(**params):
    return enqueue_export("authors", params)


def make_expected(authors, padding=0):
    rows = [(*row, "x" * padding) for row in authors.values_list("id", "name")]
    return make_csv(rows, ["No.", "Name", "Padding"])


def wait_for_end(export):
    """Wait until the export has ended and nobody works on it, with a recovery now and then."""

    def has_ended():
        get_runner().recover()
        export.refresh_from_db()
        is_over = export.state in (ExportState.SUCCESS, ExportState.FAIL)
        return is_over and export.path_key is None

    wait_until(has_ended)


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


@on(CELERY)
def test_machine_that_goes_down_loses_no_job(
    engine, settings, authors, holds, media_root, remains
):
    settings.EXPORTER_LEASE = LEASE
    worker = engine.start()
    export = enqueue()
    holds.wait()
    worker.kill_all()
    engine.start()
    assert_succeeded(export, authors, media_root, attempt=2)
    assert remains() == [export.file.name]

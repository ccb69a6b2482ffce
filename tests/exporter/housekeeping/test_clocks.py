"""Hosts whose clocks are an hour apart: how long files and rows are kept is for the database's."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models import F

from django_infra.exporter.models import ExportState, QueryExport
from exporter.faults.children import make_environment
from exporter.faults.forkserver import ForkServer
from exporter.faults.marks import commits, needs_server
from exporter.faults.probes import find_files

pytest_plugins = ["exporter.faults.fixtures"]
pytestmark = [*commits, needs_server, pytest.mark.external]

HOUR = 3600
HALF_AN_HOUR = 1800
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
OFFSETS = {"an hour behind": -HOUR, "an hour ahead": HOUR}


@pytest.fixture(scope="module")
def hosts():
    """Processes that fork children, whose clocks are off."""
    if LIBRARY is None:
        pytest.skip("faketime is not installed")
    with ExitStack() as stack:
        hosts = {}
        for name, offset in OFFSETS.items():
            environment = make_environment(
                LD_PRELOAD=str(LIBRARY), FAKETIME=f"{offset:+d}", FAKETIME_DONT_FAKE_MONOTONIC="1"
            )
            hosts[name] = ForkServer(environment)
            stack.callback(hosts[name].close)
        yield hosts


@pytest.fixture
def start_on(hosts, child):
    """Start a process on the host whose clock is off."""

    def start(name, **overrides):
        process = child(server=hosts[name], **overrides)
        assert process.call("read_clock") - time.time() == pytest.approx(OFFSETS[name], abs=60)
        return process

    return start


def prune(process, **options):
    process.begin("prune", **options)
    assert process.finish() == "ready"
    process.proceed()
    return process.finish()


@pytest.mark.parametrize("worker", OFFSETS)
@pytest.mark.parametrize("pruner", OFFSETS)
def test_file_is_kept_for_its_time(authors, start_on, media_root, worker, pruner):
    outcome = start_on(worker).call("export_for", path="a.csv", seconds=HALF_AN_HOUR)
    assert outcome == {"state": ExportState.SUCCESS}
    export = QueryExport.objects.get()
    assert export.expires_at - export.finished_at == timedelta(seconds=HALF_AN_HOUR)
    process = start_on(pruner)
    assert prune(process) == "Deleted rows: 0, files: 0."
    assert find_files(media_root) == ["a.csv"]
    QueryExport.objects.update(expires_at=F("expires_at") - timedelta(seconds=HALF_AN_HOUR))
    assert prune(process) == "Deleted rows: 0, files: 1."
    assert find_files(media_root) == []


@pytest.mark.parametrize("worker", OFFSETS)
@pytest.mark.parametrize("pruner", OFFSETS)
@pytest.mark.parametrize("kind", ["failed", "expired"])
def test_row_is_kept_for_its_time(authors, start_on, worker, pruner, kind):
    process = start_on(worker)
    max_rows = 1 if kind == "failed" else None
    process.call("export_for", path="a.csv", seconds=0, max_rows=max_rows)
    prune(process)
    row = QueryExport.objects.get()
    assert row.state == (ExportState.FAIL if kind == "failed" else ExportState.SUCCESS)
    assert not row.file
    process = start_on(pruner)
    assert prune(process, seconds=HALF_AN_HOUR) == "Deleted rows: 0, files: 0."
    moment = "finished_at" if kind == "failed" else "file_deleted_at"
    QueryExport.objects.update(**{moment: F(moment) - timedelta(seconds=HALF_AN_HOUR)})
    assert prune(process, seconds=HALF_AN_HOUR) == "Deleted rows: 1, files: 0."

from __future__ import annotations

import os
import signal
from datetime import timedelta

import pytest
from django.db.models import F

from django_infra.exporter.housekeeping.recovery import recover_exports
from django_infra.exporter.models import ExportState, QueryExport
from exporter.faults.authors import export_authors, make_authors_csv
from exporter.faults.children import plan_chunks
from exporter.faults.marks import commits, needs_sqlite
from exporter.faults.probes import find_files, wait_until, wait_until_stopped

pytest_plugins = ["exporter.faults.fixtures"]
pytestmark = commits


def age_heartbeats():
    """Let the exports in progress look as if nothing was heard of them for an hour."""
    QueryExport.objects.update(heartbeat_at=F("heartbeat_at") - timedelta(hours=1))


def test_killed_export_is_failed_by_the_next_one(authors, child, media_root, temp_dir, remains):
    worker = child(**plan_chunks("kill_at_third_chunk"))
    worker.begin("export_authors", path="killed.csv", padding=100_000)
    assert worker.wait() == -signal.SIGKILL

    killed = QueryExport.objects.get()
    assert killed.state == ExportState.PROCESSING
    assert killed.heartbeat_at is not None
    assert find_files(media_root) == []
    assert len(find_files(temp_dir)) == 1
    assert recover_exports().failed == 0  # not before the lease has run out

    age_heartbeats()
    again = export_authors("killed.csv")
    killed.refresh_from_db()
    assert killed.state == ExportState.FAIL
    assert "Worker lost" in killed.error_log
    assert killed.finished_at is not None
    assert not killed.file
    assert again.state == ExportState.SUCCESS
    assert remains() == ["killed.csv"]
    assert (media_root / "killed.csv").read_bytes() == make_authors_csv(authors)


@pytest.mark.parametrize("path", [None, "reports/own.csv"])
@pytest.mark.parametrize(
    "storage",
    [
        "django.core.files.storage.FileSystemStorage",
        "exporter.faults.storages.InvertingStorage",
    ],
)
def test_killed_between_file_and_success_leaves_nothing(
    settings, authors, child, remains, path, storage
):
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": storage}}
    worker = child()
    worker.call("signal_before_success", number=signal.SIGKILL)
    worker.begin("export_authors", path=path)
    assert worker.wait() == -signal.SIGKILL
    killed = QueryExport.objects.get()
    assert killed.state == ExportState.PROCESSING
    assert killed.file_path in remains()

    age_heartbeats()
    assert recover_exports().failed == 1
    assert recover_exports().failed == 0
    killed.refresh_from_db()
    assert killed.state == ExportState.FAIL
    assert remains() == []


def test_killed_after_copy_to_another_device_leaves_nothing(
    settings, authors, child, remains, elsewhere
):
    settings.EXPORTER_TEMP_DIR = str(elsewhere)
    worker = child()
    worker.call("kill_after", step="link")
    worker.begin("export_authors", path="far.csv")
    assert worker.wait() == -signal.SIGKILL
    assert len(remains()) == 2

    age_heartbeats()
    assert recover_exports().failed == 1
    assert remains() == []
    assert find_files(elsewhere) == []


@pytest.mark.parametrize("path", [None, "a/b/named.csv"])
@pytest.mark.parametrize("is_told", [False, True])
@pytest.mark.parametrize(
    "storage",
    ["django.core.files.storage.FileSystemStorage", "exporter.faults.storages.InvertingStorage"],
)
def test_saved_file_has_one_name_before_its_row_says_so(
    settings, authors, child, media_root, elsewhere, path, is_told, storage
):
    """A second one would keep the data when the file is deleted."""
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": storage}}
    settings.EXPORTER_TEMP_DIR = str(elsewhere)
    worker = child()
    worker.call("signal_at_success", number=signal.SIGKILL, is_told=is_told)
    worker.begin("export_authors", path=path)
    assert worker.wait() == -signal.SIGKILL
    export = QueryExport.objects.get()
    assert export.state == (ExportState.SUCCESS if is_told else ExportState.PROCESSING)
    assert find_files(media_root, elsewhere) == [export.object_name]
    assert (media_root / export.object_name).stat().st_nlink == 1

    age_heartbeats()
    recover_exports()
    assert find_files(media_root, elsewhere) == ([export.object_name] if is_told else [])
    export.delete()
    assert find_files(media_root, elsewhere) == []


@pytest.mark.parametrize("way", ["expire", "delete"])
def test_second_name_of_a_file_goes_with_the_file(authors, media_root, way):
    export = export_authors("a/named.csv", expires_in=timedelta(0))
    second = media_root / f"a/.{export.temp_name}.part"
    second.hardlink_to(media_root / "a/named.csv")
    assert export.expire(lease=60) if way == "expire" else export.delete()
    assert find_files(media_root) == []


def test_recovery_spares_the_file_of_a_stranger(authors, child, media_root, temp_dir):
    worker = child(**plan_chunks("kill_at_third_chunk"))
    worker.begin("export_authors", path="theirs.csv")
    worker.wait()
    media_root.mkdir(exist_ok=True)
    (media_root / "theirs.csv").write_text("theirs")

    age_heartbeats()
    assert recover_exports().failed == 1
    assert (media_root / "theirs.csv").read_text() == "theirs"
    assert find_files(temp_dir) == []


def test_stopped_worker_that_wakes_up_cannot_revive_its_export(
    authors, child, media_root, temp_dir
):
    zombie = child(**plan_chunks("stop_at_third_chunk"))
    zombie.begin("export_authors", path="same.csv", padding=1)
    wait_until_stopped(zombie.process.pid)
    age_heartbeats()
    winner = export_authors("same.csv")

    os.kill(zombie.process.pid, signal.SIGCONT)
    assert zombie.finish()["error"] == "ExportInterrupted"
    lost = QueryExport.objects.exclude(pk=winner.pk).get()
    assert lost.state == ExportState.FAIL
    assert "Worker lost" in lost.error_log
    assert find_files(media_root, temp_dir) == ["same.csv"]
    assert (media_root / "same.csv").read_bytes() == make_authors_csv(authors)
    winner.refresh_from_db()
    assert winner.state == ExportState.SUCCESS


def test_worker_stopped_before_success_spares_the_file_of_its_successor(
    authors, child, media_root, temp_dir
):
    zombie = child()
    zombie.call("signal_before_success", number=signal.SIGSTOP)
    zombie.begin("export_authors", path="same.csv", padding=1)
    wait_until_stopped(zombie.process.pid)
    age_heartbeats()
    winner = export_authors("same.csv")

    os.kill(zombie.process.pid, signal.SIGCONT)
    assert zombie.finish()["error"] == "ExportInterrupted"
    winner.refresh_from_db()
    assert winner.state == ExportState.SUCCESS
    assert find_files(media_root, temp_dir) == ["same.csv"]
    assert (media_root / "same.csv").read_bytes() == make_authors_csv(authors)


def test_working_export_is_not_lost(authors, child, temp_dir):
    worker = child(**plan_chunks("wait_at_third_chunk"))
    worker.call("hurry", interval=0.05)
    worker.begin("export_authors")
    assert worker.finish() == "at the third chunk"
    export = QueryExport.objects.processing().get()
    age_heartbeats()
    # It is lost until its next heartbeat, which may have come already.
    wait_until(lambda: not QueryExport.objects.lost(60).exists())
    worker.proceed()
    assert worker.finish()["state"] == ExportState.SUCCESS
    export.refresh_from_db()
    assert export.state == ExportState.SUCCESS


def test_lost_export_fails_although_its_storage_is_gone(settings, authors, child, caplog):
    worker = child(**plan_chunks("kill_at_third_chunk"))
    worker.begin("export_authors")
    worker.wait()
    QueryExport.objects.update(storage_alias="abolished")
    age_heartbeats()

    assert recover_exports().failed == 1
    assert QueryExport.objects.get().state == ExportState.FAIL
    assert "Could not remove" in caplog.text


@needs_sqlite  # the lines are the same on all databases
@pytest.mark.parametrize(
    ("how", "place"),
    [("interrupt", "near"), ("interrupt", "far"), ("interrupt", "own"), ("kill", "far")],
)
def test_end_at_any_line_leaves_a_success_with_the_file_or_a_failure_without(
    settings, authors, child, elsewhere, temp_dir, sampling, how, place
):
    if place == "own":
        backend = "exporter.faults.storages.InvertingStorage"
        settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    if place == "far":
        settings.EXPORTER_TEMP_DIR = str(elsewhere)
    worker = child()
    worker.call("hurry", interval=0.1)
    assert worker.call("end_everywhere", how=how, **sampling(20)) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@needs_sqlite  # it is the same with all databases
def test_who_may_not_write_to_the_storage_may_ask_in_peace(child, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o700)
    worker = child(MEDIA_ROOT=str(locked / "media"))
    assert worker.call("recover_as_nobody") == []

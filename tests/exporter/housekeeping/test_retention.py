from __future__ import annotations

import io
import signal
import time
from datetime import timedelta

import pytest
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from django_infra.exporter import tasks
from django_infra.exporter.exceptions import FileAlreadyExists, InvalidLimit
from django_infra.exporter.housekeeping import retention
from django_infra.exporter.limits import MAX_PERIOD
from django_infra.exporter.models import ExportState, QueryExport
from django_infra.exporter.signals import export_expired
from exporter.faults.authors import export_authors, make_authors_csv
from exporter.faults.children import plan_chunks
from exporter.faults.marks import commits
from exporter.faults.probes import find_files, wait_until
from testapp.models import Receipt

pytest_plugins = ["exporter.faults.fixtures"]
pytestmark = commits

HOUR = timedelta(hours=1)
NOW = timedelta(0)


def prune(**options):
    """Run the command and return the lines that it says."""
    out = io.StringIO()
    call_command("prune_exports", stdout=out, **options)
    return out.getvalue().splitlines()


def age(*exports, **columns):
    """Let the times of the exports' rows be earlier by so much."""
    rows = QueryExport.objects.filter(pk__in=[export.pk for export in exports])
    rows.update(**{name: F(name) - period for name, period in columns.items()})


def reload(export):
    return QueryExport.objects.get(pk=export.pk)


@pytest.fixture
def exacting(settings):
    """Save in a storage that deletes no file called "stuck", and none that is not there."""
    backend = "exporter.faults.storages.ExactingStorage"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}


# When a file expires


@pytest.mark.parametrize(
    ("setting", "argument", "period"),
    [
        (None, None, None),
        (HOUR, None, HOUR),
        (HOUR, 2 * HOUR, 2 * HOUR),
        (HOUR, NOW, NOW),
        (NOW, None, NOW),
        (None, HOUR, HOUR),
        (None, MAX_PERIOD, MAX_PERIOD),
    ],
)
def test_expiry_is_the_setting_or_the_exports_own(settings, authors, setting, argument, period):
    settings.EXPORTER_EXPIRES_IN = setting
    export = reload(export_authors(expires_in=argument))
    assert export.state == ExportState.SUCCESS
    assert export.expires_at == (None if period is None else export.finished_at + period)


@pytest.mark.parametrize("period", [-HOUR, timedelta.max, 3600])
def test_expiry_that_is_no_date_is_refused(authors, period):
    with pytest.raises(InvalidLimit, match="expires_in"):
        export_authors(expires_in=period)
    assert not QueryExport.objects.exists()


def test_expiry_without_time_zones(settings, authors, media_root):
    settings.USE_TZ = False
    export_authors("now.csv", expires_in=NOW)
    export_authors("later.csv", expires_in=HOUR)
    assert prune() == ["Deleted rows: 0, files: 1."]
    assert find_files(media_root) == ["later.csv"]


# Files


def test_expired_files_are_deleted_and_no_others(authors, media_root):
    expired = export_authors("expired.csv", expires_in=NOW)
    export_authors("later.csv", expires_in=HOUR)
    export_authors("never.csv")
    assert prune() == ["Deleted rows: 0, files: 1."]

    assert find_files(media_root) == ["later.csv", "never.csv"]
    row = reload(expired)
    assert row.state == ExportState.SUCCESS
    assert not row.file
    assert row.expires_at <= row.file_deleted_at <= timezone.now()
    assert row.path_key is None
    assert prune() == ["Deleted rows: 0, files: 0."]
    export_authors("expired.csv")


def test_expiry_is_announced_once(authors):
    expired = export_authors(expires_in=NOW)
    heard = []

    def listen(sender, export, **kwargs):
        heard.append((sender, export.pk, reload(export).file.name))

    export_expired.connect(listen)
    try:
        prune()
        prune()
    finally:
        export_expired.disconnect(listen)
    assert heard == [(QueryExport, expired.pk, "")]


def test_file_that_was_deleted_by_hand_is_no_error(authors, exacting, media_root):
    own = export_authors(expires_in=NOW)
    named = export_authors("named.csv", expires_in=NOW)
    for export in (own, named):
        (media_root / export.file.name).unlink()
    assert prune() == ["Deleted rows: 0, files: 2."]
    assert reload(own).file_deleted_at is not None
    assert reload(named).file_deleted_at is not None


def test_error_of_the_storage_is_logged_and_the_others_go_on(
    settings, authors, exacting, media_root, caplog
):
    export_authors("a.csv", expires_in=NOW)
    stuck = export_authors("stuck.csv", expires_in=NOW)
    abolished = export_authors("abolished.csv", expires_in=NOW)
    QueryExport.objects.filter(pk=abolished.pk).update(storage_alias="abolished")
    export_authors("z.csv", expires_in=NOW)
    with pytest.raises(CommandError, match=r"^2 could not be deleted; see the log\.$"):
        prune()

    assert find_files(media_root) == ["abolished.csv", "stuck.csv"]
    assert "Could not prune 'stuck.csv'" in caplog.text
    assert "The line is dead." in caplog.text
    assert reload(stuck).file.name == "stuck.csv"
    with pytest.raises(CommandError, match=r"^2 could not"):
        prune()

    backend = "django.core.files.storage.FileSystemStorage"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    QueryExport.objects.update(storage_alias="default")
    assert prune() == ["Deleted rows: 0, files: 2."]
    assert find_files(media_root) == []


@pytest.mark.parametrize("storage", ["FileSystemStorage", "InMemoryStorage"])
def test_file_of_a_later_export_is_spared(settings, authors, storage):
    backend = f"django.core.files.storage.{storage}"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    first = export_authors("latest.csv", expires_in=NOW)
    storages["default"].delete("latest.csv")
    second = export_authors("latest.csv")
    assert not reload(first).file
    assert reload(first).file_deleted_at
    assert prune() == ["Deleted rows: 0, files: 0."]
    assert storages["default"].exists("latest.csv")

    QueryExport.objects.filter(pk=second.pk).update(expires_at=timezone.now())
    assert prune() == ["Deleted rows: 0, files: 1."]
    assert not storages["default"].exists("latest.csv")


def test_file_of_a_later_export_in_another_storage_is_another_one(settings, authors, tmp_path):
    backend = "django.core.files.storage.InMemoryStorage"
    settings.STORAGES = {**settings.STORAGES, "memory": {"BACKEND": backend}}
    export_authors("latest.csv", expires_in=NOW)
    settings.EXPORTER_STORAGE = "memory"
    export_authors("latest.csv")
    assert prune() == ["Deleted rows: 0, files: 1."]
    assert not storages["default"].exists("latest.csv")
    assert storages["memory"].exists("latest.csv")


def test_path_that_an_export_is_to_write_is_spared(authors, child, media_root):
    first = export_authors("latest.csv", expires_in=NOW)
    (media_root / "latest.csv").unlink()
    worker = child(**plan_chunks("wait_at_third_chunk"))
    worker.begin("export_authors", path="latest.csv")
    assert worker.finish() == "at the third chunk"
    assert prune() == ["Deleted rows: 0, files: 0."]
    assert reload(first).file.name == "latest.csv"

    worker.proceed()
    assert worker.finish()["state"] == ExportState.SUCCESS
    assert prune() == ["Deleted rows: 0, files: 0."]
    assert not reload(first).file
    assert find_files(media_root) == ["latest.csv"]


def test_path_that_is_taken_does_not_break_the_callers_transaction(authors, child, media_root):
    first = export_authors("latest.csv", expires_in=NOW)
    (media_root / "latest.csv").unlink()
    worker = child(**plan_chunks("wait_at_third_chunk"))
    worker.begin("export_authors", path="latest.csv")
    assert worker.finish() == "at the third chunk"
    with transaction.atomic():
        assert not first.expire(lease=60)
        assert reload(first).file.name == "latest.csv"


@pytest.mark.parametrize("is_deleted", [False, True])
def test_prune_that_was_killed_is_finished_after_the_lease(authors, child, media_root, is_deleted):
    export = export_authors("killed.csv", expires_in=NOW)
    pruner = child()
    pruner.call("signal_at_deletion", number=signal.SIGKILL, is_deleted=is_deleted)
    pruner.begin("prune")
    pruner.finish()
    pruner.proceed()
    assert pruner.wait() == -signal.SIGKILL

    assert find_files(media_root) == ([] if is_deleted else ["killed.csv"])
    assert reload(export).file.name == "killed.csv"
    assert prune() == ["Deleted rows: 0, files: 0."]
    with pytest.raises(FileAlreadyExists):
        export_authors("killed.csv")

    age(export, heartbeat_at=HOUR)
    assert prune() == ["Deleted rows: 0, files: 1."]
    assert find_files(media_root) == []
    assert not reload(export).file
    assert export_authors("killed.csv").state == ExportState.SUCCESS


# Rows


@pytest.fixture
def ended(authors, spy):
    """An export that failed, one whose file expired, and one that has its file."""
    expired = export_authors("expired.csv", expires_in=NOW)
    prune()
    kept = export_authors("kept.csv")
    spy(lambda number: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_authors("failed.csv")
    failed = QueryExport.objects.failed().get()
    return failed, expired, kept


def test_rows_stay_for_a_second_period(settings, ended):
    _, expired, kept = ended
    age(*ended, finished_at=2 * HOUR)
    assert prune() == ["Deleted rows: 0, files: 0."]
    settings.EXPORTER_DELETE_ROWS_AFTER = 3 * HOUR
    assert prune() == ["Deleted rows: 0, files: 0."]

    settings.EXPORTER_DELETE_ROWS_AFTER = HOUR
    assert prune() == ["Deleted rows: 1, files: 0."]
    assert set(QueryExport.objects.all()) == {expired, kept}
    age(expired, file_deleted_at=2 * HOUR)
    assert prune(verbosity=2) == [expired.pk, "Deleted rows: 1, files: 0."]
    assert QueryExport.objects.get() == kept
    assert storages["default"].exists("kept.csv")


def test_row_stays_while_something_of_its_export_may_be_left(settings, ended):
    failed, _, _ = ended
    settings.EXPORTER_DELETE_ROWS_AFTER = NOW
    QueryExport.objects.filter(pk=failed.pk).update(path_key="reserved")
    assert prune() == ["Deleted rows: 1, files: 0."]
    assert QueryExport.objects.filter(pk=failed.pk).exists()


def test_row_whose_file_was_deleted_by_code_goes_too(settings, ended):
    _, _, kept = ended
    kept.file.delete()
    settings.EXPORTER_DELETE_ROWS_AFTER = NOW
    assert prune() == ["Deleted rows: 3, files: 0."]


def test_row_outlives_its_file_until_the_next_run(settings, authors):
    settings.EXPORTER_DELETE_ROWS_AFTER = NOW
    export_authors(expires_in=NOW)
    assert prune() == ["Deleted rows: 0, files: 1."]
    assert prune() == ["Deleted rows: 1, files: 0."]


def test_many_are_pruned_in_batches(settings, authors, monkeypatch, media_root):
    monkeypatch.setattr(retention, "BATCH_SIZE", 2)
    settings.EXPORTER_DELETE_ROWS_AFTER = NOW
    for _ in range(5):
        export_authors(expires_in=NOW)
    assert prune() == ["Deleted rows: 0, files: 5."]
    assert find_files(media_root) == []
    assert prune() == ["Deleted rows: 5, files: 0."]
    assert not QueryExport.objects.exists()


@pytest.mark.django_db  # with the models of all apps
def test_row_that_another_model_protects_stays_alone(settings, ended, caplog):
    failed, expired, _ = ended
    Receipt.objects.create(export=expired)
    settings.EXPORTER_DELETE_ROWS_AFTER = NOW
    with pytest.raises(CommandError, match="1 could not be deleted"):
        prune()
    assert f"Could not prune {expired.pk!r}" in caplog.text
    assert not QueryExport.objects.filter(pk=failed.pk).exists()


# Two at a time


def test_two_at_once_share_the_work(authors, child, media_root):
    for _ in range(30):
        export_authors(expires_in=NOW)
    assert sum(run_together(child, "files")) == 30
    assert find_files(media_root) == []
    assert set(QueryExport.objects.values_list("file", "path_key")) == {("", None)}

    assert sum(run_together(child, "rows", seconds=0)) == 30
    assert not QueryExport.objects.exists()


def run_together(child, kind, **kwargs):
    """Prune in two processes at once, and return how many each says that it has deleted."""
    pruners = [child(), child()]
    for pruner in pruners:
        pruner.begin("prune", **kwargs)
        assert pruner.finish() == "ready"
    for pruner in pruners:
        pruner.proceed()
    outcomes = [pruner.finish() for pruner in pruners]
    assert all(outcome.startswith("Deleted ") for outcome in outcomes), outcomes
    return [int(outcome.split(f"{kind}: ")[1].strip(".").split(",")[0]) for outcome in outcomes]


def test_pruning_spares_what_is_exported_to_the_same_path_meanwhile(authors, child, media_root):
    pruners = [child(), child()]
    for pruner in pruners:
        pruner.begin("prune_again_and_again")
        assert pruner.finish() == "ready"
    for _ in range(30):
        export = wait_until(export_if_free)
        time.sleep(0.01)  # for whoever thinks that it is the last one's file
        assert (media_root / "latest.csv").read_bytes() == make_authors_csv(authors)
        QueryExport.objects.filter(pk=export.pk).update(expires_at=timezone.now())
    wait_until(lambda: not (media_root / "latest.csv").exists())
    for pruner in pruners:
        pruner.proceed()
    assert sum(pruner.finish() for pruner in pruners) == 30


def export_if_free():
    try:
        return export_authors("latest.csv")
    except FileAlreadyExists:
        return None


# The command and the task


def test_dry_run_says_what_a_run_does_and_does_nothing(settings, ended, media_root):
    failed, expired, kept = ended
    settings.EXPORTER_DELETE_ROWS_AFTER = NOW
    QueryExport.objects.filter(pk=kept.pk).update(expires_at=timezone.now())
    before = list(QueryExport.objects.order_by("pk").values())
    assert prune(dry_run=True) == ["Would delete rows: 2, files: 1."]
    *names, summary = prune(dry_run=True, verbosity=2)
    assert sorted(names) == sorted([failed.pk, expired.pk, "kept.csv"])
    assert summary == "Would delete rows: 2, files: 1."
    assert list(QueryExport.objects.order_by("pk").values()) == before
    assert find_files(media_root) == ["kept.csv"]

    assert prune(verbosity=2) == [*names, "Deleted rows: 2, files: 1."]
    assert find_files(media_root) == []


def test_command_is_silent_if_asked(authors):
    export_authors(expires_in=NOW)
    assert prune(verbosity=0) == []
    assert not QueryExport.objects.get().file


@pytest.mark.parametrize("name", ["EXPORTER_DELETE_ROWS_AFTER", "EXPORTER_MAX_ROWS"])
def test_wrong_setting_is_told(settings, db, name):
    setattr(settings, name, "30 days")
    with pytest.raises(CommandError, match=f"{name} is '30 days'"):
        prune()


@pytest.mark.parametrize("text", ["-1", "1.5", "an hour", ""])
def test_wrong_age_is_told(db, text):
    with pytest.raises(CommandError, match="is not a number of seconds, such as 3600"):
        call_command("prune_exports", f"--older-than={text}")


def test_task_prunes(settings, ended, media_root):
    settings.EXPORTER_DELETE_ROWS_AFTER = NOW
    _, _, kept = ended
    QueryExport.objects.filter(pk=kept.pk).update(expires_at=timezone.now())
    tasks.prune_exports()
    assert find_files(media_root) == []
    assert QueryExport.objects.get() == kept


def test_recovery_is_a_command(authors, child, temp_dir):
    worker = child(**plan_chunks("kill_at_third_chunk"))
    worker.begin("export_authors")
    worker.wait()
    QueryExport.objects.update(heartbeat_at=F("heartbeat_at") - HOUR)
    out = io.StringIO()
    call_command("recover_exports", stdout=out)
    assert out.getvalue() == (
        "Failed: 1. Rescheduled: 0. Handed over again: 0. Stray files removed: 0.\n"
    )
    call_command("recover_exports", verbosity=0, stdout=out)
    assert len(out.getvalue().splitlines()) == 1
    assert QueryExport.objects.get().state == ExportState.FAIL


@pytest.mark.parametrize("other", ["report.csv", "Réport.csv"])
def test_names_that_a_database_takes_for_the_same_are_two(authors, media_root, other):
    """MariaDB compares without regard to case and accents."""
    export_authors("Report.csv", expires_in=NOW)
    export_authors(other)
    assert prune() == ["Deleted rows: 0, files: 1."]
    assert find_files(media_root) == [other]

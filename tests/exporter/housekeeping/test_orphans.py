from __future__ import annotations

import io
import os
import signal
import time

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db import connections, transaction

from django_infra.exporter.housekeeping import orphans
from django_infra.exporter.models import ExportState, QueryExport
from exporter.faults.authors import export_authors
from exporter.faults.children import plan_chunks
from exporter.faults.marks import commits_to_both
from exporter.faults.probes import find_files, wait_until_stopped

pytest_plugins = ["exporter.faults.fixtures"]
pytestmark = [commits_to_both, pytest.mark.usefixtures("committed_rows")]

STORAGES = ["FileSystemStorage", "InMemoryStorage"]


@pytest.fixture(params=STORAGES)
def storage(request, settings):
    backend = f"django.core.files.storage.{request.param}"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    return storages["default"]


def prune(**options):
    """Prune orphans of any age, and return their names and the summary."""
    out = io.StringIO()
    options = {"older_than": 0, "verbosity": 2, **options}
    call_command("prune_exports", orphans=True, stdout=out, **options)
    *names, summary = out.getvalue().splitlines()
    return sorted(names), summary


def save(storage, *names):
    for name in names:
        storage.save(name, ContentFile(b"orphan"))


def put(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("orphan")


def test_files_without_a_row_are_removed_and_no_others(authors, storage):
    kept = [export_authors(), export_authors("exports/a/named.csv"), export_authors("named.csv")]
    orphans = ["exports/a/b/c/deep.csv", "exports/a/orphan.csv", "exports/old.csv"]
    outside = ["export/x.csv", "exports.csv", "other/exports/x.csv", "root.csv"]
    save(storage, *orphans, *outside)
    assert prune(dry_run=True) == (orphans, "Would delete rows: 0, files: 0, orphans: 3.")
    assert all(map(storage.exists, orphans))

    assert prune() == (orphans, "Deleted rows: 0, files: 0, orphans: 3.")
    assert not any(map(storage.exists, orphans))
    assert all(map(storage.exists, [*outside, *(export.file.name for export in kept)]))
    assert prune() == ([], "Deleted rows: 0, files: 0, orphans: 0.")


def test_without_being_asked_for_orphans_stay(db, storage):
    save(storage, "exports/orphan.csv")
    call_command("prune_exports", verbosity=0)
    assert storage.exists("exports/orphan.csv")


def test_no_folder_no_orphans(db, storage):
    assert prune() == ([], "Deleted rows: 0, files: 0, orphans: 0.")


def test_file_of_a_rolled_back_export_is_an_orphan(authors, media_root):
    with transaction.atomic():
        name = export_authors().file.name
        transaction.set_rollback(True)
    assert find_files(media_root) == [name]
    assert prune()[0] == [name]
    assert find_files(media_root) == []


def test_file_that_its_row_does_not_name_is_an_orphan(authors, media_root):
    export = export_authors()
    name = export.file.name
    QueryExport.objects.update(file="")
    assert prune()[0] == [name]
    assert find_files(media_root) == []


def test_a_file_in_the_place_of_an_exports_own_is_somebody_elses(authors, storage):
    """The row says that its own file is gone, and not whose the other one is."""
    path = "exports/report.csv"
    export = export_authors(path)
    storage.delete(path)
    storage.save(path, ContentFile(b"theirs"))
    assert prune()[0] == []
    assert export.lose_file()
    assert prune()[0] == []
    with storage.open(path) as file:
        assert file.read() == b"theirs"
    # Without the row nobody knows.
    export.delete()
    assert prune()[0] == [path]


def test_a_file_that_is_an_exports_own_is_an_orphan_once_the_row_says_that_it_is_gone(
    authors, storage
):
    path = "exports/report.csv"
    assert export_authors(path).lose_file()
    assert prune()[0] == [path]
    assert not storage.exists(path)


def test_a_file_that_cannot_be_looked_at_is_spared(authors, media_root, monkeypatch, caplog):
    path = "exports/report.csv"
    assert export_authors(path).lose_file()

    def fail(path):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(os, "lstat", fail)
        with pytest.raises(CommandError, match="1 could not be deleted"):
            prune()
    assert find_files(media_root) == [path]
    assert f"Could not prune {path!r}" in caplog.text


def test_young_files_are_spared(db, media_root):
    put(media_root, "exports/young.csv", "exports/old.csv")
    hour_ago = time.time() - 3601
    os.utime(media_root / "exports/old.csv", (hour_ago, hour_ago))
    call_command("prune_exports", "--orphans", verbosity=0)
    assert find_files(media_root) == ["exports/young.csv"]
    call_command("prune_exports", "--orphans", "--older-than=60", verbosity=0)
    assert find_files(media_root) == ["exports/young.csv"]
    call_command("prune_exports", "--orphans", "--older-than=0", verbosity=0)
    assert find_files(media_root) == []


def test_file_that_is_about_to_be_a_success_is_spared(authors, child, media_root):
    worker = child()
    worker.call("wait_before_success")
    worker.begin("export_authors")
    assert worker.finish() == "before success"
    assert len(find_files(media_root)) == 1
    assert prune()[0] == []
    worker.proceed()
    assert worker.finish()["state"] == ExportState.SUCCESS
    assert len(find_files(media_root)) == 1


@pytest.mark.parametrize("is_near", [False, True])
def test_temporary_files_are_spared_while_their_export_is_at_work(
    settings, authors, child, media_root, elsewhere, is_near
):
    folder = media_root / "exports"
    folder.mkdir(parents=True)
    # Either begun below the prefix, or brought there from another device.
    settings.EXPORTER_TEMP_DIR = str(elsewhere if is_near else folder)
    worker = child(**({} if is_near else plan_chunks("stop_at_third_chunk")))
    if is_near:
        worker.call("kill_after", step="link")
    worker.begin("export_authors", path="exports/x.csv", padding=100_000)
    if is_near:
        assert worker.wait() == -signal.SIGKILL
    else:
        wait_until_stopped(worker.process.pid)
    export = QueryExport.objects.processing().get()
    temp_name = f"exports/{'.' * is_near}{export.temp_name}.part"
    assert temp_name in find_files(media_root)
    assert prune()[0] == []

    worker.process.kill()
    files = find_files(media_root)
    QueryExport.objects.all()._raw_delete("default")
    assert prune()[0] == sorted(files)
    assert find_files(media_root) == []


def test_temporary_files_of_ended_exports_and_attempts_are_orphans(authors, media_root):
    export = export_authors()
    strange = "Author-20260301120000-kT3vQ0uXo1cJ8ZyB5mWn2d-1.part"
    names = [f"exports/.{export.id}-1.part", f"exports/{export.id}-2.part", f"exports/.{strange}"]
    put(media_root, *names)
    assert prune()[0] == sorted(names)

    QueryExport.objects.update(state=ExportState.PROCESSING, attempt=2, path_key="reserved")
    put(media_root, *names[:2])
    assert prune()[0] == names[:1]


@pytest.mark.parametrize(
    ("prefix", "orphans"),
    [
        ("exports/2026-", ["exports/2026-01/a.csv", "exports/2026-b.csv"]),
        ("exports/2026-01/", ["exports/2026-01/a.csv"]),
        ("exports/2026-01/a", ["exports/2026-01/a.csv"]),
        ("exports/2027", []),
    ],
)
def test_prefix_bounds_what_is_looked_at(settings, db, storage, prefix, orphans):
    settings.EXPORTER_PATH_PREFIX = prefix
    save(storage, "exports/2025-c.csv", "exports/2026-01/a.csv", "exports/2026-b.csv", "2026-d.csv")
    assert prune()[0] == orphans


@pytest.mark.parametrize("prefix", ["", "exports", "2026-"])
def test_prefix_that_is_no_folder_is_refused(settings, db, media_root, prefix):
    settings.EXPORTER_PATH_PREFIX = prefix
    put(media_root, "exports.csv")
    with pytest.raises(CommandError, match=f"EXPORTER_PATH_PREFIX is {prefix!r}, but must have"):
        prune()
    assert find_files(media_root) == ["exports.csv"]


@pytest.mark.parametrize("prefix", ["/", "../", "exports/../../", "/etc/"])
def test_prefix_that_leads_elsewhere_is_refused(settings, db, prefix):
    settings.EXPORTER_PATH_PREFIX = prefix
    with pytest.raises(CommandError, match="EXPORTER_PATH_PREFIX"):
        prune()


def test_links_are_not_followed(db, media_root, tmp_path):
    put(tmp_path, "outside/precious.csv")
    put(media_root, "exports/a/orphan.csv", "elsewhere/precious.csv")
    (media_root / "exports/a/out").symlink_to(tmp_path / "outside")
    (media_root / "exports/in").symlink_to(media_root / "elsewhere")
    (media_root / "exports/a/loop").symlink_to(media_root / "exports")
    (media_root / "exports/file.csv").symlink_to(tmp_path / "outside/precious.csv")
    assert prune()[0] == ["exports/a/orphan.csv", "exports/file.csv"]
    assert (tmp_path / "outside/precious.csv").exists()
    assert find_files(media_root) == ["elsewhere/precious.csv"]


def test_prefix_may_be_a_link(db, media_root, tmp_path):
    put(tmp_path, "large/orphan.csv")
    media_root.mkdir()
    (media_root / "exports").symlink_to(tmp_path / "large")
    assert prune()[0] == ["exports/orphan.csv"]
    assert not (tmp_path / "large/orphan.csv").exists()


def test_names_that_no_export_has_are_left_alone(db, media_root):
    names = ["exports/a:b.csv", "exports/back\\slash.csv", "exports/line\nbreak.csv", "exports/x."]
    put(media_root, *names)
    assert prune()[0] == []
    assert find_files(media_root) == sorted(names)


def test_row_of_another_alias_counts(settings, authors, media_root):
    export = export_authors()
    settings.STORAGES = {**settings.STORAGES, "exports": settings.STORAGES["default"]}
    settings.EXPORTER_STORAGE = "exports"
    assert prune()[0] == []
    assert find_files(media_root) == [export.file.name]


def test_row_of_another_database_counts(authors, media_root):
    export = export_authors()
    export.save(using="other", force_insert=True)
    QueryExport.objects.all()._raw_delete("default")
    try:
        assert prune()[0] == []
    finally:
        QueryExport.objects.all()._raw_delete("other")
        connections["other"].close()
    assert find_files(media_root) == [export.file.name]
    assert prune()[0] == [export.file.name]


def test_many_files_are_looked_up_in_batches(authors, media_root):
    kept = [export_authors(f"exports/{number}/kept.csv").file.name for number in range(5)]
    names = [f"exports/{number % 7}/{number}.csv" for number in range(2 * orphans.BATCH_SIZE + 1)]
    put(media_root, *names)
    assert prune()[0] == sorted(names)
    assert find_files(media_root) == kept


def test_file_that_cannot_be_deleted_is_logged_and_the_others_go(settings, db, media_root, caplog):
    backend = "exporter.faults.storages.ExactingStorage"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    put(media_root, "exports/a.csv", "exports/stuck.csv", "exports/z.csv")
    with pytest.raises(CommandError, match="1 could not be deleted"):
        prune()
    assert find_files(media_root) == ["exports/stuck.csv"]
    assert "Could not prune 'exports/stuck.csv'" in caplog.text


def test_folder_that_cannot_be_listed_is_logged_and_the_others_are(db, media_root, caplog):
    put(media_root, "exports/a/x.csv", "exports/b.csv", "exports/c/x.csv")
    storage = storages["default"]
    listdir = storage.listdir

    def fail(folder):
        if folder == "exports/a":
            raise PermissionError(13, "Permission denied")
        return listdir(folder)

    storage.listdir = fail
    try:
        with pytest.raises(CommandError, match="1 could not be deleted"):
            prune()
    finally:
        del storage.listdir
    assert find_files(media_root) == ["exports/a/x.csv"]
    assert "Could not prune 'exports/a'" in caplog.text


@pytest.mark.parametrize("name", ["BlindStorage", "TimelessStorage"])
def test_storage_that_cannot_tell_is_refused(settings, db, media_root, name):
    backend = f"exporter.faults.storages.{name}"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    put(media_root, "exports/orphan.csv")
    with pytest.raises(CommandError, match=f"EXPORTER_STORAGE is 'default', a {name}, which"):
        prune()
    assert find_files(media_root) == ["exports/orphan.csv"]


def test_two_at_once_share_the_work(db, child, media_root):
    names = [f"exports/{number}.csv" for number in range(200)]
    put(media_root, *names)
    pruners = [child(), child()]
    for pruner in pruners:
        pruner.begin("prune", orphans=True, older_than=0)
        assert pruner.finish() == "ready"
    for pruner in pruners:
        pruner.proceed()
    for pruner in pruners:
        assert pruner.finish().startswith("Deleted rows: 0, files: 0, orphans: ")
    assert find_files(media_root) == []


def test_files_are_known_also_where_no_migrations_run(settings, authors, media_root):
    """A router may leave the tables to somebody else."""

    class Router:
        def allow_migrate(self, db, app_label, **hints):
            return False

    export = export_authors()
    settings.DATABASE_ROUTERS = [Router()]
    assert prune() == ([], "Deleted rows: 0, files: 0, orphans: 0.")
    assert find_files(media_root) == [export.file.name]

"""What could not be deleted is remembered, and deleted when the storage is well again."""

from __future__ import annotations

import errno
import os
import signal
from contextlib import suppress
from datetime import timedelta
from unittest import mock

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, storages
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone

from django_infra.exporter.conf import conf
from django_infra.exporter.delivery import Left
from django_infra.exporter.delivery.facts import MAX_SIZE
from django_infra.exporter.exceptions import FileAlreadyExists
from django_infra.exporter.export import enqueue_export
from django_infra.exporter.housekeeping import retention
from django_infra.exporter.housekeeping.recovery import recover_exports
from django_infra.exporter.jobs import pipeline
from django_infra.exporter.jobs.worker import run_job
from django_infra.exporter.models import ExportState, Leftover, QueryExport
from django_infra.exporter.models.leftover import LeftoverQuerySet
from django_infra.exporter.models.query_export import make_token
from exporter.faults.authors import export_authors, make_authors_csv
from exporter.faults.marks import commits
from exporter.faults.probes import find_files
from exporter.faults.storages import DyingStorage
from testapp.models import Author

pytest_plugins = ["exporter.faults.fixtures"]
pytestmark = commits

ALL = frozenset({"delete", "exists", "size", "path"})


@pytest.fixture
def dying(settings, monkeypatch):
    """Save in a storage that dies of the next save, and return its class."""
    backend = f"{DyingStorage.__module__}.DyingStorage"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    monkeypatch.setattr(DyingStorage, "failing", frozenset())
    monkeypatch.setattr(DyingStorage, "dies_of_save", ALL)
    return DyingStorage


def revive(storage_class):
    storage_class.failing = storage_class.dies_of_save = frozenset()


def fail_to_export(path=None):
    with pytest.raises(OSError, match="Input/output error"):
        export_authors(path)
    return QueryExport.objects.get()


def age():
    QueryExport.objects.update(heartbeat_at=F("heartbeat_at") - timedelta(seconds=conf.lease + 1))


WAYS = {
    "recover": recover_exports,
    "command": lambda: call_command("recover_exports", verbosity=0),
    "prune": retention.prune_exports,
    "prune command": lambda: call_command("prune_exports", verbosity=0),
    "another export": export_authors,
    "row": lambda: QueryExport.objects.all().delete(),
}


@pytest.mark.parametrize("path", [None, "elsewhere/named.csv"])
@pytest.mark.parametrize("failing", [{"delete"}, ALL])
@pytest.mark.parametrize("way", WAYS)
def test_half_file_is_deleted_when_the_storage_is_well_again(
    authors, media_root, dying, path, failing, way
):
    dying.dies_of_save = frozenset(failing)
    export = fail_to_export(path)
    assert (export.state, export.path_key) == (ExportState.FAIL, None)
    leftover = Leftover.objects.get()
    assert find_files(media_root) == [leftover.object_name] == [export.file_path]
    assert (leftover.export_id, leftover.attempt) == (export.pk, 1)
    # As long as the storage fails.
    recover_exports()
    assert Leftover.objects.exists()

    revive(dying)
    WAYS[way]()
    assert not Leftover.objects.exists()
    kept = QueryExport.objects.succeeded().values_list("file", flat=True)
    assert find_files(media_root) == list(kept)


def test_leftover_outlives_its_row(authors, media_root, dying):
    fail_to_export("named.csv").delete()
    assert Leftover.objects.count() == 1
    revive(dying)
    assert recover_exports().leftovers == 1
    assert find_files(media_root) == []


def test_file_of_a_deleted_row_is_a_leftover(authors, media_root, dying):
    dying.dies_of_save = frozenset()
    exports = [export_authors(), export_authors("named.csv")]
    dying.failing = ALL
    QueryExport.objects.all().delete()
    assert sorted(Leftover.objects.values_list("object_name", flat=True)) == sorted(
        export.file.name for export in exports
    )
    with pytest.raises(CommandError, match="2 could not be deleted"):
        call_command("prune_exports", verbosity=0)
    revive(dying)
    call_command("prune_exports", verbosity=0)
    assert not Leftover.objects.exists()
    assert find_files(media_root) == []


def test_command_tells_of_leftovers(authors, dying, capsys):
    export = fail_to_export("named.csv")
    revive(dying)
    call_command("prune_exports", dry_run=True, verbosity=2)
    assert capsys.readouterr().out.splitlines() == [
        export.file_path,
        "Would delete rows: 0, files: 0, leftovers: 1.",
    ]
    call_command("recover_exports")
    assert capsys.readouterr().out.endswith(" Leftovers removed: 1.\n")


def test_killed_export_whose_file_cannot_be_deleted_leaves_a_leftover(
    authors, child, media_root, temp_dir, dying
):
    dying.dies_of_save = frozenset()
    worker = child()
    worker.call("signal_before_success", number=signal.SIGKILL)
    worker.begin("export_authors", path="named.csv")
    assert worker.wait() == -signal.SIGKILL
    age()
    dying.failing = ALL
    assert recover_exports().failed == 1
    export = QueryExport.objects.get()
    assert (export.state, export.path_key) == (ExportState.FAIL, None)
    assert find_files(media_root, temp_dir) == ["named.csv"]
    revive(dying)
    recover_exports()
    assert find_files(media_root, temp_dir) == []


# ------------------------------------------------------------------- the name meanwhile


def test_name_is_refused_before_any_work(authors):
    """As long as somebody else is about to delete what is there."""
    QueryExport(id="Other", storage_alias="default", attempt=1).remember(Left("named.csv"))
    leftover = Leftover.objects.get()
    assert leftover.begin_deletion(lease=60)
    with pytest.raises(FileAlreadyExists, match=r"File already exists.*could not be deleted"):
        export_authors("named.csv")
    assert QueryExport.objects.count() == 0
    assert export_authors("other.csv").state == ExportState.SUCCESS
    leftover.put_back()
    assert export_authors("named.csv").state == ExportState.SUCCESS


@pytest.mark.parametrize("moment", ["claim", "begin_delivery"])
def test_name_is_refused_as_long_as_nothing_is_saved(authors, media_root, monkeypatch, moment):
    real = getattr(QueryExport, moment)

    def come_first(export, *args, **kwargs):
        other = QueryExport(id="Other", storage_alias="default", attempt=1)
        other.remember(Left("named.csv"))
        return real(export, *args, **kwargs)

    monkeypatch.setattr(QueryExport, moment, come_first)
    with pytest.raises(FileAlreadyExists, match="could not be deleted"):
        export_authors("named.csv")
    export = QueryExport.objects.get()
    assert (export.state, export.path_key) == (ExportState.FAIL, None)
    assert find_files(media_root) == []


def test_own_name_needs_no_look(authors, django_assert_max_num_queries):
    with django_assert_max_num_queries(9):
        export_authors()
    with django_assert_max_num_queries(10):
        export_authors("named.csv")


def test_of_two_at_once_one_deletes(db):
    export = QueryExport(id="Other", storage_alias="default", attempt=1)
    export.remember(Left("named.csv"))
    first, second = Leftover.objects.get(), Leftover.objects.get()
    assert first.begin_deletion(lease=60)
    assert not second.begin_deletion(lease=60)
    Leftover.objects.update(tried_at=F("tried_at") - timedelta(hours=1))
    assert second.begin_deletion(lease=60)
    first.forget()
    assert not second.begin_deletion(lease=-1)


# ------------------------------------------------------------------- files of others


@pytest.mark.parametrize("failing", [{"delete"}, ALL])
@pytest.mark.parametrize("kind", ["larger", "later"])
def test_file_of_a_stranger_is_spared(authors, media_root, dying, failing, kind):
    dying.dies_of_save = frozenset(failing)
    fail_to_export("named.csv")
    revive(dying)
    theirs = media_root / "named.csv"
    theirs.unlink()
    theirs.write_text("x" * (10_000 if kind == "larger" else 10))
    if kind == "later":
        moment = timezone.now().timestamp() + 3600
        os.utime(theirs, (moment, moment))
    recover_exports()
    assert set(theirs.read_text()) == {"x"}
    assert not Leftover.objects.exists()


def test_file_of_another_export_is_spared(authors, media_root):
    done = export_authors("named.csv")
    QueryExport(id="Other", storage_alias="default", attempt=1).remember(Left("named.csv"))
    recover_exports()
    assert (media_root / "named.csv").read_bytes() == make_authors_csv(authors)
    assert not Leftover.objects.exists()
    done.remember(Left("named.csv", upload_id=""))
    recover_exports()
    assert (media_root / "named.csv").exists()


def test_file_that_another_export_is_saving_is_spared(authors, child, media_root):
    worker = child()
    worker.call("wait_before_success")
    worker.begin("export_authors", path="named.csv")
    assert worker.finish() == "before success"
    QueryExport(id="Other", storage_alias="default", attempt=1).remember(Left("named.csv"))
    recover_exports()
    assert not Leftover.objects.exists()
    worker.proceed()
    assert worker.finish()["state"] == ExportState.SUCCESS
    assert find_files(media_root) == ["named.csv"]


# ------------------------------------------------------------------- names of unfinished files


@pytest.mark.parametrize("path", [None, "a/named.csv"])
@pytest.mark.parametrize("is_far", [False, True])
def test_name_that_could_not_be_removed_is_remembered(
    authors, settings, monkeypatch, media_root, elsewhere, path, is_far
):
    del settings.EXPORTER_TEMP_DIR
    if is_far:
        settings.EXPORTER_TEMP_DIR = str(elsewhere)
    real = os.unlink

    def fail(target, *args, **kwargs):
        if str(target).endswith(".part") and media_root in map(type(media_root), [*target.parents]):
            raise OSError(errno.EIO, "Input/output error")
        real(target, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", fail)
        export = export_authors(path)
    assert export.state == ExportState.SUCCESS
    inode = (media_root / export.file.name).stat().st_ino
    assert [p.stat().st_ino for p in media_root.rglob("*.*")] == [inode, inode]
    recover_exports()
    assert find_files(media_root, elsewhere) == [export.file.name]
    assert not Leftover.objects.exists()


@pytest.mark.parametrize("path", [None, "a/named.csv"])
@pytest.mark.parametrize("step", ["link", "chmod", "fsync"])
@pytest.mark.parametrize("is_linkless", [False, True])
def test_disk_that_dies_in_a_save_is_cleaned_when_it_is_well_again(
    authors, settings, monkeypatch, media_root, path, step, is_linkless
):
    """From the nth call on it answers nothing."""
    del settings.EXPORTER_TEMP_DIR
    is_dead = []

    def wrap(name):
        real = getattr(os, name)

        def call(target, *args, **kwargs):
            if name == "link" and is_linkless:
                if step == "link":
                    is_dead.append(True)
                raise OSError(errno.EPERM, "No links here")
            is_ours = isinstance(target, int) or str(target).startswith(str(media_root))
            if is_dead and is_ours and name not in ("fstat", "fsync"):
                raise OSError(errno.EIO, "Input/output error")
            result = real(target, *args, **kwargs)
            has_begun = QueryExport.objects.filter(delivery_started_at__isnull=False).exists()
            if name == step and has_begun:
                is_dead.append(True)
                raise OSError(errno.EIO, "Input/output error")
            return result

        return call

    with monkeypatch.context() as patch:
        for name in ("link", "chmod", "fsync", "stat", "lstat", "unlink", "remove", "replace"):
            patch.setattr(os, name, wrap(name))
        with pytest.raises(OSError, match="Input/output error"):
            export_authors(path)
    export = QueryExport.objects.get()
    assert (export.state, export.path_key) == (ExportState.FAIL, None)
    assert find_files(media_root) != []
    assert Leftover.objects.exists()
    recover_exports()
    assert find_files(media_root) == []
    assert not Leftover.objects.exists()


# ------------------------------------------------------------------- the database is away too


@pytest.fixture
def away(monkeypatch):
    """Have so many queries to our tables fail, from the first on that holds a text."""
    monkeypatch.setattr(pipeline, "PATIENCE", 0)

    class Away:
        begins_at = None
        count = 0

        def __call__(self, execute, sql, params, many, context):
            if "exporter_" in sql and self.begins_at and self.begins_at in (*(params or ()), sql):
                self.begins_at, self.is_on = None, True
            if self.begins_at is None and self.count and "exporter_" in sql:
                self.count -= 1
                raise OperationalError("server closed the connection unexpectedly")
            return execute(sql, params, many, context)

    return Away()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", [None, "named.csv"])
@pytest.mark.parametrize("backend", ["FileSystemStorage", "InMemoryStorage"])
def test_no_file_lies_beside_a_failure(authors, settings, box, declare, away, path, backend):
    """However long the database is away as the success is due."""
    backend = f"django.core.files.storage.{backend}"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    settings.EXPORTER_RETRY_DELAY = 0
    declare(values=["id", "name"])(lambda params, user: authors)
    storage, states = storages["default"], set()
    for count in range(1, 18):
        export = enqueue_export("test", file_path=path)
        away.begins_at, away.count = ExportState.SUCCESS, count
        with connection.execute_wrapper(away), suppress(OperationalError):
            run_job(export.pk)
        age()
        recover_exports()
        export.refresh_from_db()
        names = {export.file_path, export.object_name, export.file.name} - {""}
        expected = {export.file.name} if export.state == ExportState.SUCCESS else set()
        assert {name for name in names if storage.exists(name)} == expected, count
        assert (export.has_ended, export.path_key) == (True, None), count
        assert not Leftover.objects.exists()
        states.add((export.state, export.attempt))
        export.delete()
    assert {ExportState.SUCCESS, ExportState.FAIL} == {state for state, _ in states}, states


def test_name_stays_with_the_row_where_it_cannot_be_remembered(
    authors, media_root, dying, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(LeftoverQuerySet, "remember", mock.Mock(side_effect=OperationalError))
        patch.setattr(pipeline, "PATIENCE", 0)
        export = fail_to_export("named.csv")
        assert export.state == ExportState.FAIL
        assert export.path_key
        age()
        recover_exports()
        export.refresh_from_db()
        assert export.path_key
    revive(dying)
    age()
    recover_exports()
    export.refresh_from_db()
    assert export.path_key is None
    assert find_files(media_root) == []


def test_leftover_within_a_transaction_does_not_break_it(authors, media_root, dying):
    with transaction.atomic():
        fail_to_export("named.csv")
        Author.objects.create(name="After")
    assert Author.objects.filter(name="After").exists()
    assert Leftover.objects.count() == 1
    revive(dying)
    recover_exports()
    assert find_files(media_root) == []


# -------------------------------------------------- a stranger's file under a path that was named

STRANGERS = b"x" * 40_000


class OvertakenStorage(InMemoryStorage):
    """Save nothing, while somebody else saves a file under the name."""

    def _save(self, name, content):
        super()._save(name, ContentFile(STRANGERS))
        raise OSError(errno.EIO, "Input/output error")


def test_larger_file_that_comes_in_during_a_failed_save_is_spared(authors, settings):
    backend = f"{__name__}.OvertakenStorage"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    assert fail_to_export("named.csv").path_key is None
    recover_exports()
    assert storages["default"].open("named.csv").read() == STRANGERS
    assert not Leftover.objects.exists()


@pytest.mark.parametrize("way", ["recover", "row"])
@pytest.mark.parametrize(("size", "is_spared"), [(40_001, False), (39_999, True)])
def test_larger_file_under_the_name_of_a_killed_export_is_spared(settings, way, size, is_spared):
    backend = "django.core.files.storage.InMemoryStorage"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    export = QueryExport.objects.schedule(
        model=Author, format="csv", storage_alias="default", file_path="named.csv"
    )
    assert export.claim(make_token())
    assert export.begin_delivery(file_facts={MAX_SIZE: size})
    storages["default"].save("named.csv", ContentFile(STRANGERS))
    age()
    WAYS[way]()
    assert storages["default"].exists("named.csv") == is_spared
    assert not QueryExport.objects.filter(path_key__isnull=False).exists()


def test_size_that_a_file_has_at_most_is_on_the_row_before_it_is_saved(authors, settings):
    backend = "django.core.files.storage.InMemoryStorage"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    failing = mock.patch.object(InMemoryStorage, "_save", side_effect=OSError(errno.EIO, "EIO"))
    with failing, pytest.raises(OSError, match="EIO"):
        export_authors("named.csv")
    export = QueryExport.objects.get()
    assert export.file_facts == {MAX_SIZE: export_authors("other.csv").file_size}

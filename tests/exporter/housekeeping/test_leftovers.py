"""What is left of an export whose row is deleted; killed ones are in test_recovery.py."""

from __future__ import annotations

import os
import signal
import time

import pytest
from django.apps import apps
from django.contrib.admin import site
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.db import connections, transaction
from django.db.models.deletion import Collector
from django.db.models.signals import pre_delete

from django_infra.exporter.admin import QueryExportAdmin
from django_infra.exporter.models import ExportState, QueryExport
from exporter.faults.authors import export_authors
from exporter.faults.children import plan_chunks
from exporter.faults.marks import commits, commits_to_both
from exporter.faults.probes import find_files, wait_until, wait_until_stopped

pytest_plugins = ["exporter.faults.fixtures"]
pytestmark = commits

STORAGES = ["FileSystemStorage", "InMemoryStorage"]


def collect_and_delete(export):
    collector = Collector(using="default")
    collector.collect([export])
    collector.delete()


def delete_in_admin(export):
    rows = QueryExport.objects.filter(pk=export.pk)
    QueryExportAdmin(QueryExport, site).delete_queryset(None, rows)


WAYS = {
    "instance": lambda export: export.delete(),
    "loaded": lambda export: QueryExport.objects.get(pk=export.pk).delete(),
    "key alone": lambda export: QueryExport(pk=export.pk).delete(),
    "queryset": lambda export: QueryExport.objects.filter(pk=export.pk).delete(),
    "deferred": lambda export: QueryExport.objects.only("id").get(pk=export.pk).delete(),
    "deferred queryset": lambda export: QueryExport.objects.defer("file").delete(),
    "collector": collect_and_delete,
    "admin": delete_in_admin,
}


@pytest.fixture(params=STORAGES)
def storage(request, settings):
    backend = f"django.core.files.storage.{request.param}"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    return storages["default"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", [None, "named.csv"])
def test_file_goes_with_its_row(authors, storage, way, path):
    export = export_authors(path)
    name = export.file.name
    assert storage.exists(name)
    WAYS[way](export)
    assert not QueryExport.objects.exists()
    assert not storage.exists(name)


def test_file_goes_with_the_row_of_a_proxy(authors, media_root):
    class Download(QueryExport):
        class Meta:
            proxy = True
            app_label = "exporter"

    try:
        apps.get_app_config("exporter").ready()
        export_authors()
        Download.objects.get().delete()
    finally:
        del apps.all_models["exporter"]["download"]
        apps.clear_cache()
    assert find_files(media_root) == []


def test_only_the_files_of_the_deleted_rows_go(authors, media_root):
    exports = [export_authors(f"{number}.csv") for number in range(5)]
    QueryExport.objects.exclude(pk=exports[3].pk).delete()
    assert find_files(media_root) == ["3.csv"]


def test_file_stays_until_the_commit(authors, media_root):
    export = export_authors("kept.csv")
    with transaction.atomic():
        QueryExport.objects.all().delete()
        assert find_files(media_root) == ["kept.csv"]
    assert find_files(media_root) == []
    assert export.pk


@pytest.mark.parametrize("way", ["instance", "deferred queryset"])
def test_file_stays_if_the_deletion_is_rolled_back(authors, media_root, way):
    export = export_authors("kept.csv")
    with transaction.atomic():
        WAYS[way](export)
        transaction.set_rollback(True)
    assert QueryExport.objects.get().file.name == "kept.csv"
    assert find_files(media_root) == ["kept.csv"]


def test_file_that_was_deleted_by_hand_is_no_error(authors, storage, caplog):
    exports = export_authors(), export_authors("named.csv")
    for export in exports:
        storage.delete(export.file.name)
        export.delete()
    assert caplog.text == ""
    assert not QueryExport.objects.exists()


def test_error_of_the_storage_is_logged(settings, authors, media_root, caplog):
    backend = "exporter.faults.storages.ExactingStorage"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    for path in ("a.csv", "stuck.csv", "z.csv"):
        export_authors(path)
    QueryExport.objects.all().delete()
    assert not QueryExport.objects.exists()
    assert find_files(media_root) == ["stuck.csv"]
    assert "Could not delete 'stuck.csv', whose row is gone." in caplog.text


def test_storage_that_is_abolished_keeps_no_row(authors, caplog):
    export_authors()
    QueryExport.objects.update(storage_alias="abolished")
    QueryExport.objects.all().delete()
    assert not QueryExport.objects.exists()
    assert "whose row is gone" in caplog.text


def test_file_of_a_later_export_is_spared(authors, storage):
    first = export_authors("latest.csv")
    storage.delete("latest.csv")
    second = export_authors("latest.csv")
    storage.delete("latest.csv")
    third = export_authors("latest.csv")
    second.delete()
    assert storage.exists("latest.csv")
    third.delete()
    assert not storage.exists("latest.csv")
    first.delete()


def test_file_that_an_export_is_about_to_save_is_spared(authors, child, media_root):
    first = export_authors("latest.csv")
    (media_root / "latest.csv").unlink()
    worker = child()
    worker.call("wait_before_success")
    worker.begin("export_authors", path="latest.csv")
    assert worker.finish() == "before success"
    first.delete()
    assert "latest.csv" in find_files(media_root)
    worker.proceed()
    assert worker.finish()["state"] == ExportState.SUCCESS
    assert find_files(media_root) == ["latest.csv"]


def test_instance_of_before_the_success_deletes_the_file(authors, child, media_root):
    worker = child(**plan_chunks("wait_at_third_chunk"))
    worker.begin("export_authors", path="early.csv")
    assert worker.finish() == "at the third chunk"
    early = QueryExport.objects.processing().get()
    worker.proceed()
    assert worker.finish()["state"] == ExportState.SUCCESS
    assert find_files(media_root) == ["early.csv"]
    early.delete()
    assert find_files(media_root) == []


def test_row_that_is_gone_already_is_no_error(authors):
    export = export_authors()
    copies = [QueryExport(pk=export.pk), QueryExport.objects.get()]
    export.delete()
    assert [copy.delete()[0] for copy in copies] == [0, 0]


def test_no_success_comes_between_the_look_at_the_row_and_its_deletion(authors, child, remains):
    worker = child()
    worker.call("wait_before_success")
    worker.begin("export_authors")
    assert worker.finish() == "before success"

    def let_succeed(**kwargs):
        worker.proceed()
        time.sleep(0.5)

    pre_delete.connect(let_succeed, sender=QueryExport)
    try:
        QueryExport.objects.all().delete()
    finally:
        pre_delete.disconnect(let_succeed, sender=QueryExport)
    assert worker.finish()["error"] == "ExportInterrupted"
    assert remains() == []


@pytest.mark.parametrize("backend", ["FileSystemStorage", "InvertingStorage"])
@pytest.mark.parametrize("path", [None, "named.csv"])
def test_row_of_a_killed_export_takes_all_along(settings, authors, child, remains, backend, path):
    module = (
        "exporter.faults.storages" if backend.startswith("Inv") else "django.core.files.storage"
    )
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": f"{module}.{backend}"}}
    worker = child()
    worker.call("signal_before_success", number=signal.SIGKILL)
    worker.begin("export_authors", path=path)
    assert worker.wait() == -signal.SIGKILL
    # The unfinished file is gone by then.
    assert len(remains()) == 1
    QueryExport.objects.all().delete()
    assert remains() == []


def test_row_of_a_cancelled_export_takes_all_along(authors, child, remains):
    worker = child(**plan_chunks("stop_at_third_chunk"))
    worker.begin("export_authors", padding=100_000)
    wait_until_stopped(worker.process.pid)
    export = QueryExport.objects.get()
    assert export.cancel()
    os.kill(worker.process.pid, signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL
    assert len(remains()) == 1
    export.delete()
    assert remains() == []


def test_row_of_a_failed_export_takes_nothing_along(authors, spy, storage):
    spy(lambda number: number == 2 and storage.save("x.csv", ContentFile(b"theirs")))
    with pytest.raises(FileExistsError):
        export_authors("x.csv")
    QueryExport.objects.get().delete()
    assert storage.exists("x.csv")


def test_worker_stops_when_its_row_is_deleted(authors, child, remains):
    worker = child(**plan_chunks("nap", chunk_size=1))
    worker.call("hurry", interval=0.05)
    worker.begin("export_authors")
    wait_until(QueryExport.objects.processing().exists)
    QueryExport.objects.all().delete()
    assert worker.finish()["error"] == "ExportInterrupted"
    assert remains() == []


@commits_to_both
def test_row_of_another_database_is_judged_by_that_database(authors, media_root):
    first = export_authors("latest.csv")
    second = QueryExport.objects.get(pk=first.pk)
    second.pk = f"{second.pk}-2"
    for export in (first, second):
        export.save(using="other", force_insert=True)
    QueryExport.objects.using("default").all()._raw_delete("default")
    try:
        with transaction.atomic(using="other"):
            QueryExport.objects.using("other").all().delete()
            transaction.set_rollback(True, using="other")
        assert find_files(media_root) == ["latest.csv"]
        with transaction.atomic(using="default"):
            QueryExport.objects.using("other").all().delete()
            assert find_files(media_root) == []
    finally:
        QueryExport.objects.using("other").all()._raw_delete("other")
        connections["other"].close()

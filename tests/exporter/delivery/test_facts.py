"""What becomes of a file that somebody else has put in the place of an export's."""

from __future__ import annotations

import os
import signal
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import call_command
from django.urls import reverse

from django_infra.exporter.models import ExportState, QueryExport
from exporter.faults.authors import export_authors, make_authors_csv
from exporter.faults.marks import commits
from exporter.faults.probes import find_files

pytest_plugins = ["exporter.faults.fixtures"]
pytestmark = commits

STORAGES = {
    "file system": "django.core.files.storage.FileSystemStorage",
    "memory": "django.core.files.storage.InMemoryStorage",
    "own": "exporter.faults.storages.InvertingStorage",
}
NAME = "reports/asked.csv"


@pytest.fixture(params=STORAGES)
def storage(request, settings):
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": STORAGES[request.param]}}
    return storages["default"]


@pytest.fixture
def replace(storage):
    """Put a file of somebody else's, which is as long, in the place of the export's."""

    def replace(export):
        size = storage.size(export.file.name)
        storage.delete(export.file.name)
        storage.save(export.file.name, ContentFile(b"x" * size))

    return replace


@pytest.fixture
def superuser(client, django_user_model):
    """A user who may do all, logged in."""
    user = django_user_model.objects.create_superuser("root")
    client.force_login(user)
    return user


def is_theirs(storage, name=NAME):
    with storage.open(name) as file:
        return set(file.read()) == set(b"x")


def delete_over_rest(client, export):
    assert client.delete(f"/api/exports/{export.pk}/").status_code == 204


def delete_in_admin(client, export):
    url = reverse("admin:exporter_queryexport_delete", args=[export.pk])
    assert client.post(url, {"post": "yes"}).status_code == 302


def expire(client, export):
    call_command("prune_exports", verbosity=0)
    export.refresh_from_db()
    assert (export.state, export.file.name) == (ExportState.SUCCESS, "")
    assert export.file_deleted_at


WAYS = {"rest": delete_over_rest, "admin": delete_in_admin, "prune": expire}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_replaced", [True, False])
def test_only_ones_own_file_is_deleted(
    authors, storage, replace, client, superuser, way, is_replaced
):
    export = export_authors(NAME, created_by=superuser, expires_in=timedelta(0))
    if is_replaced:
        replace(export)
    WAYS[way](client, export)
    assert storage.exists(NAME) == is_replaced
    assert not is_replaced or is_theirs(storage)


@pytest.mark.django_db(transaction=True)
def test_only_ones_own_file_is_sent(authors, storage, replace, client, superuser):
    export = export_authors(NAME, created_by=superuser)
    pages = [f"/api/exports/{export.pk}/download/", export.signed_url(expires=60)]
    for page in pages:
        assert b"".join(client.get(page)) == make_authors_csv(authors)
    replace(export)
    for page in pages:
        response = client.get(page)
        assert response.status_code == 404
        assert response.json() == {"detail": "The file is gone."}
    export.refresh_from_db()
    assert (export.state, export.file.name) == (ExportState.SUCCESS, "")
    assert is_theirs(storage)


@pytest.mark.parametrize("change", ["rewritten", "linked", "linked to its own", "as old"])
def test_a_file_is_known_by_its_inode_and_its_time(authors, media_root, tmp_path, change):
    export = export_authors(NAME)
    path = media_root / NAME
    found = path.stat()
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"x" * found.st_size)
    if change == "rewritten":
        path.write_bytes(theirs.read_bytes())
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    elif change == "as old":
        os.utime(theirs, ns=(found.st_atime_ns, found.st_mtime_ns))
        theirs.replace(path)
    else:
        away = path.rename(tmp_path / "away")
        path.symlink_to(theirs if change == "linked" else away)
    assert not export.has_own_file()
    export.delete()
    assert os.path.lexists(path)


def test_what_changes_nothing_of_the_file_is_not_taken_for_a_stranger(authors, media_root):
    export = export_authors(NAME)
    (media_root / "reports").rename(media_root / "moved")
    (media_root / "moved").rename(media_root / "reports")
    (media_root / NAME).chmod(0o600)
    (media_root / "second.csv").hardlink_to(media_root / NAME)
    with export.file.open() as file:
        assert file.read() == make_authors_csv(authors)
    assert QueryExport.objects.get().has_own_file()


@pytest.mark.parametrize("storage_class", ["SilentStorage", "TimelessStorage"])
def test_a_storage_that_tells_less_keeps_what_it_can(authors, settings, caplog, storage_class):
    backend = f"exporter.faults.storages.{storage_class}"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    export = export_authors(NAME)
    assert export.state == ExportState.SUCCESS
    assert bool(export.file_facts) == (storage_class == "TimelessStorage")
    assert export.has_own_file()
    export.delete()
    assert not storages["default"].exists(NAME)
    assert caplog.text == ""


def test_a_generation_goes_before_the_time(authors, settings, monkeypatch):
    backend = "exporter.faults.storages.GenerationStorage"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    export = export_authors(NAME)
    assert export.file_facts == {"size": export.file_size, "generation": 1}
    monkeypatch.setattr(storages["default"], "generation", 2)
    assert not export.has_own_file()


def test_a_storage_that_fails_to_tell_costs_no_export(authors, settings, caplog):
    backend = "exporter.faults.storages.ForgetfulStorage"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    export = export_authors(NAME)
    assert (export.state, export.file_facts) == (ExportState.SUCCESS, {})
    assert f"tells nothing of {NAME!r}" in caplog.text


def test_a_storage_that_is_away_loses_no_file(authors, settings, caplog):
    backend = "django.core.files.storage.InMemoryStorage"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    export = export_authors(NAME, expires_in=timedelta(0))
    backend = "exporter.faults.storages.ForgetfulStorage"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    storages["default"].save(NAME, ContentFile(b"x"))
    with pytest.raises(ConnectionError):
        export.expire(lease=60)
    assert QueryExport.objects.get().file.name == NAME


def test_names_of_our_own_need_no_look(authors, settings):
    backend = "exporter.faults.storages.ForgetfulStorage"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    export = export_authors()
    assert export.file_facts == {}
    export.delete()
    assert storages["default"].listdir("exports") == ([], [])


@pytest.mark.external
def test_a_file_that_was_replaced_before_the_success_is_left_by_its_export(
    authors, storage, child, media_root
):
    if type(storage).__name__ == "InMemoryStorage":
        pytest.skip("no other process sees it")
    worker = child()
    worker.call("wait_before_success")
    worker.begin("export_authors", path=NAME)
    assert worker.finish() == "before success"
    size = storage.size(NAME)
    storage.delete(NAME)
    storage.save(NAME, ContentFile(b"x" * size))
    assert QueryExport.objects.get().cancel()
    worker.proceed()
    assert worker.finish()["error"] == "ExportInterrupted"
    assert find_files(media_root) == [NAME]
    assert is_theirs(storage)


@pytest.mark.external
def test_a_link_to_a_strangers_file_does_not_make_it_ours(authors, child, media_root, temp_dir):
    worker = child()
    worker.call("kill_after", step="rename")
    worker.begin("export_authors", path="asked.csv")
    assert worker.wait() == -signal.SIGKILL
    export = QueryExport.objects.get()
    assert export.delivery_started_at
    (media_root / "asked.csv").write_text("theirs")
    (temp_dir / f"{export.temp_name}.part").symlink_to(media_root / "asked.csv")
    export.delete()
    assert find_files(media_root, temp_dir) == ["asked.csv"]
    assert (media_root / "asked.csv").read_text() == "theirs"

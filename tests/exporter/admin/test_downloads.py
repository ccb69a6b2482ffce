from __future__ import annotations

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from django_infra.exporter.models import ExportState, QueryExport
from exporter.admin.rows import CONTENT, DETAIL, DOWNLOAD, make_export, make_file, permit

pytestmark = pytest.mark.django_db


def download(client, export):
    response = client.get(reverse(DOWNLOAD, args=[export.pk]))
    if response.streaming:
        assert b"".join(response.streaming_content) == CONTENT
    return response


def assert_refused(response, export, message):
    assert (response.status_code, response.url) == (302, reverse(DETAIL, args=[export.pk]))
    (told,) = get_messages(response.wsgi_request)
    assert (told.level_tag, str(told)) == ("error", message)


def test_a_download_is_the_file(page):
    export = make_file()
    response = page(DOWNLOAD, export.pk)
    assert response.status_code == 200
    assert b"".join(response.streaming_content) == CONTENT
    assert response["Content-Disposition"] == f'attachment; filename="{export.pk}.csv"'
    assert {"private", "no-store"} <= set(response["Cache-Control"].split(", "))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("scheduled", "The export is not finished."),
        ("processing", "The export is not finished."),
        ("fail", "The export failed."),
    ],
)
def test_without_a_file_the_reason_is_told(page, state, message):
    export = make_export(ExportState(state))
    assert_refused(page(DOWNLOAD, export.pk), export, message)


def test_what_has_expired_is_told(page):
    export = make_file()
    export.update(expires_at=timezone.now())
    assert_refused(page(DOWNLOAD, export.pk), export, "The file has expired.")


@pytest.mark.parametrize("is_atomic", [False, True])
@pytest.mark.django_db(transaction=True)
def test_a_file_that_is_gone_is_told_and_the_row_says_so(page, monkeypatch, is_atomic):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", is_atomic)
    export = make_file()
    export.storage.delete(export.file.name)
    assert_refused(page(DOWNLOAD, export.pk), export, "The file is gone.")
    row = QueryExport.objects.get()
    assert (row.file.name, row.state) == ("", "success")


@pytest.mark.parametrize("storage", ["DownStorage", None])
def test_a_storage_that_is_away_is_told(page, settings, caplog, storage):
    export = make_file()
    if storage:
        backend = f"exporter.rest.test_downloads.{storage}"
        settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    else:
        QueryExport.objects.update(storage_alias="gone")
    assert_refused(page(DOWNLOAD, export.pk), export, "The file cannot be read now.")
    assert QueryExport.objects.get().file


def test_only_what_one_may_see_is_sent(client, owner, staff):
    own, foreign = make_file(created_by=owner), make_file(created_by=staff)
    assert download(client, own).status_code == 200
    response = download(client, foreign)
    assert (response.status_code, response.url) == (302, reverse("admin:index"))
    client.force_login(permit(staff))
    assert download(client, foreign).status_code == 200
    foreign.delete()
    assert download(client, own).status_code == 403


@pytest.mark.parametrize("pk", ["nope", "a%00b", "a_00b", "x" * 500, "%C3%A9"])
def test_an_unknown_export_leads_back_to_the_index(page, client, pk):
    url = reverse(DOWNLOAD, args=["id"]).replace("id", pk)
    page(DETAIL, "x")
    response = client.get(url)
    assert (response.status_code, response.url) == (302, reverse("admin:index"))

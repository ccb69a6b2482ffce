from __future__ import annotations

from html import escape

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, Storage, storages
from django.urls import reverse

from django_infra.exporter.models import ExportState
from exporter.admin.rows import DETAIL, LIST, make_export

pytestmark = pytest.mark.django_db


class PrivateStorage(InMemoryStorage):
    def url(self, name):
        return Storage.url(self, name)


class BrokenStorage(InMemoryStorage):
    def url(self, name):
        raise OSError("The signing service is away.")


def test_the_detail_page_shows_the_facts(page, staff):
    export = make_export(created_by=staff, file_path="reports/users.csv")
    storages["default"].save(export.file_path, ContentFile(b"x"))
    response = page(DETAIL, export.pk)
    assert response.status_code == 200
    text = response.content.decode()
    for fact in (export.id, "Success", "12345", "2.0\xa0KB", "testapp.Author", "staff", "0:01:01"):
        assert fact in text
    assert "reports/users.csv" in text
    assert f'href="{export.file.url}"' not in text


@pytest.mark.parametrize("state", ExportState)
def test_there_is_a_detail_page_for_every_state(page, state):
    export = make_export(state)
    response = page(DETAIL, export.pk)
    assert response.status_code == 200
    assert str(state.label) in response.content.decode()


@pytest.mark.parametrize("state", set(ExportState) - {ExportState.SUCCESS})
def test_without_a_file_there_is_no_link(page, state):
    export = make_export(state, file_path="reports/users.csv")
    assert 'reports/users.csv">' not in page(DETAIL, export.pk).content.decode()


@pytest.mark.parametrize("storage", [PrivateStorage, BrokenStorage], ids=lambda s: s.__name__)
def test_a_storage_without_urls_shows_the_name(page, settings, storage):
    settings.STORAGES = settings.STORAGES | {
        "private": {"BACKEND": f"{__name__}.{storage.__name__}"}
    }
    export = make_export(storage_alias="private", file_path="reports/users.csv")
    response = page(DETAIL, export.pk)
    assert response.status_code == 200
    text = response.content.decode()
    assert "reports/users.csv" in text
    assert 'reports/users.csv">' not in text


def test_a_storage_that_is_no_more_shows_the_name(page):
    export = make_export(storage_alias="gone", file_path="reports/users.csv")
    for response in (page(LIST), page(DETAIL, export.pk)):
        assert response.status_code == 200
    assert "reports/users.csv" in response.content.decode()


def test_an_error_is_shown_escaped(page):
    message = "<script>alert('1')</script> & \"more\""
    export = make_export(ExportState.FAIL, ValueError(message))
    text = page(DETAIL, export.pk).content.decode()
    assert "<script>alert" not in text
    assert f"ValueError: {escape(message)}" in text


def test_a_name_is_shown_escaped(page, staff):
    staff.username = "<b>staff</b>"
    staff.save()
    export = make_export(created_by=staff, file_path="a'&b;<c>.csv")
    for response in (page(LIST), page(DETAIL, export.pk)):
        text = response.content.decode()
        assert "<b>staff" not in text
        assert "<c>" not in text
    assert "a&#x27;&amp;b;&lt;c&gt;.csv" in text


@pytest.mark.parametrize("pk", ["nope", "a'b", "%f0%9f%98%80", "x" * 500, "a b"])
def test_an_unknown_export_leads_back_to_the_index(page, client, pk):
    page(LIST)
    response = client.get(reverse(LIST) + f"{pk}/change/")
    assert (response.status_code, response.url) == (302, reverse("admin:index"))


def test_the_history_page_works(page):
    assert page("admin:exporter_queryexport_history", make_export().pk).status_code == 200

"""Export a change list where the request has the only connection of a pool, in a transaction."""

from __future__ import annotations

import csv

import pytest
from django.contrib import admin
from django.db import connection, transaction
from django.urls import reverse

from django_infra.exporter.models import QueryExport
from testapp.models import Author

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.only_on("psycopg")]


@pytest.fixture
def pool_of_one():
    """Give the connection a pool in which there is no second one."""
    options = connection.settings_dict["OPTIONS"]
    connection.close()
    # Whoever asks for another one is to hear soon that there is none.
    options["pool"] = {"min_size": 1, "max_size": 1, "timeout": 2}
    yield connection.pool
    connection.close()
    connection.close_pool()
    del options["pool"]


@pytest.fixture
def asked(monkeypatch):
    """The sessions in which the rows were asked for, and whether in a transaction."""
    asked = []
    kind = type(admin.site.get_model_admin(Author))
    get_queryset = kind.get_queryset

    def spy(self, request):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            asked.append((cursor.fetchone(), connection.in_atomic_block))
        return get_queryset(self, request)

    monkeypatch.setattr(kind, "get_queryset", spy)
    return asked


@pytest.mark.parametrize("is_selection", [False, True])
def test_page_and_start_need_no_second_connection(pool_of_one, asked, admin_client, is_selection):
    url = reverse("admin:exporter_queryexport_change_list", args=["testapp", "author"])
    with transaction.atomic():
        keys = [Author.objects.create(name=name).pk for name in ("one", "two")]
        selection = {"query": ""}
        if is_selection:
            selection |= {"is_selection": "1", "selected": keys[:1]}
        assert admin_client.get(url, selection).status_code == 200
        data = {"columns": ["name"], "headers": "names", "format": "csv", **selection}
        assert admin_client.post(url, data).status_code == 302
    # For the page and as a worker would, both times.
    assert len(asked) >= 4
    assert len({session for session, _ in asked}) == 1
    assert all(is_atomic for _, is_atomic in asked)
    assert pool_of_one.get_stats()["pool_size"] == 1
    export = QueryExport.objects.get()
    assert (export.state, export.error_log) == ("success", "")
    with export.file.open() as file:
        rows = sorted(csv.reader(file.read().decode().splitlines()[1:]))
    assert rows == ([["one"]] if is_selection else [["one"], ["two"]])

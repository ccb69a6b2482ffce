"""What becomes of an export that is to be cancelled while nobody may write to SQLite's database."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from django.contrib.messages import get_messages
from django.db import OperationalError, connection, connections
from django.urls import reverse

from django_infra.exporter.exceptions import DatabaseLocked
from django_infra.exporter.models import ExportState, QueryExport
from exporter.admin.rows import LIST, make_export
from exporter.faults.authors import export_authors
from exporter.faults.children import get_databases
from exporter.faults.marks import needs_sqlite
from exporter.faults.probes import fetch

pytest_plugins = ["exporter.faults.fixtures"]
pytestmark = [
    # With the tables of users and sessions.
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("committed_rows"),
    needs_sqlite,
]


@pytest.fixture
def rollback_journal():
    assert fetch(connection, "PRAGMA journal_mode=DELETE") == [("delete",)]
    yield
    connection.close()
    assert fetch(connection, "PRAGMA journal_mode") == [("wal",)]


@pytest.mark.external
def test_cancelling_while_rows_are_read_is_refused_after_the_timeout(
    authors, child, rollback_journal, spy, remains
):
    database = {**get_databases()["default"], "OPTIONS": {"timeout": 0.2}}
    other = child(databases={"default": database})
    outcomes = []

    def cancel(number):
        if number == 2:
            export = QueryExport.objects.get()
            outcomes.append(other.call("cancel", export_id=export.id))

    spy(cancel)
    export = export_authors("a.csv")
    (outcome,) = outcomes
    assert outcome["error"] == "DatabaseLocked"
    assert f"{export.id} cannot be cancelled now: the database is locked." in outcome["message"]
    assert "PRAGMA journal_mode=WAL" in outcome["message"]
    assert (export.state, export.row_count) == (ExportState.SUCCESS, 50)
    assert remains() == ["a.csv"]
    assert other.call("cancel", export_id=export.id) == {"is_cancelled": False}


@pytest.fixture
def locked():
    """Let somebody else write for as long as the test, and this process not wait for it."""
    fetch(connection, "PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(connection.settings_dict["NAME"])) as writer:
        yield lambda: writer.execute("BEGIN IMMEDIATE")
    connections["default"].close()


def test_error_is_django_s_too(locked):
    export = make_export(ExportState.PROCESSING)
    locked()
    with pytest.raises(OperationalError) as caught:
        export.cancel()
    assert isinstance(caught.value, DatabaseLocked)
    assert export.state == ExportState.PROCESSING


def test_api_asks_to_try_again(client, django_user_model, locked):
    user = django_user_model.objects.create_user("ada")
    client.force_login(user)
    export = make_export(ExportState.PROCESSING, created_by=user)
    locked()
    response = client.post(reverse("exporter:exporter-cancel", args=[export.pk]))
    assert response.status_code == 503
    assert response.json() == {"detail": "The database is locked. Try again later."}


def test_admin_asks_to_try_again(admin_client, locked):
    exports = [make_export(ExportState.PROCESSING) for _ in range(2)]
    locked()
    data = {"action": "cancel_selected", "_selected_action": [export.pk for export in exports]}
    response = admin_client.post(reverse(LIST), data)
    (message,) = get_messages(response.wsgi_request)
    assert message.level_tag == "error"
    assert str(message) == "2 cannot be cancelled now: the database is locked. Try again later."

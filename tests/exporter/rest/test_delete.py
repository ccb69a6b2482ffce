from __future__ import annotations

import pytest

from django_infra.exporter.models import ExportState, QueryExport
from exporter.rest.rows import get_detail, make_export, make_file
from testapp.models import Receipt

pytestmark = pytest.mark.django_db(transaction=True)


def test_delete_removes_the_row_and_its_file(login, user):
    export = make_file(user)
    response = login.delete(get_detail(export))
    assert (response.status_code, response.content) == (204, b"")
    assert not QueryExport.objects.exists()
    assert not export.storage.exists(export.object_name)
    assert login.delete(get_detail(export)).status_code == 404


@pytest.mark.parametrize("state", ExportState)
def test_an_export_in_any_state_can_be_deleted(login, user, state):
    assert login.delete(get_detail(make_export(user, state))).status_code == 204
    assert not QueryExport.objects.exists()


def test_the_files_of_others_stay(login, user, other):
    kept = make_file(other)
    login.delete(get_detail(make_file(user)))
    assert kept.storage.exists(kept.object_name)
    assert QueryExport.objects.get() == kept


def test_what_another_row_protects_stays(login, user):
    export = make_file(user)
    Receipt.objects.create(export=export)
    response = login.delete(get_detail(export))
    assert response.status_code == 409
    assert response.json() == {"detail": "The export is still referred to."}
    assert export.storage.exists(export.object_name)

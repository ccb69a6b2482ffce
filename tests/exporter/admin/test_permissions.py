from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.urls import reverse

from django_infra.exporter.models import QueryExport
from exporter.admin.rows import DELETE, DETAIL, LIST, make_export

pytestmark = pytest.mark.django_db


def test_staff_cannot_write_whatever_their_permissions(page, client, staff):
    export = make_export()
    add = reverse("admin:exporter_queryexport_add")
    change = reverse(DETAIL, args=[export.pk])
    page(LIST)
    assert client.get(add).status_code == 403
    for url in (add, change):
        assert client.post(url, {"state": "fail"}).status_code == 403
    export.refresh_from_db()
    assert export.state == "success"


DELETIONS = {
    "page": lambda export: (DELETE, [export.pk], {}),
    "action": lambda export: (
        LIST,
        [],
        {"action": "delete_selected", "_selected_action": [export.pk]},
    ),
}


@pytest.mark.parametrize("may_delete", [True, False])
@pytest.mark.parametrize("way", DELETIONS)
def test_who_has_the_permission_deletes_row_and_file(
    page, client, staff, way, may_delete, django_capture_on_commit_callbacks
):
    if not may_delete:
        staff.user_permissions.remove(Permission.objects.get(codename="delete_queryexport"))
    export = make_export(file_path="a.csv")
    storages["default"].save("a.csv", ContentFile(b"x"))
    page(LIST)
    name, args, data = DELETIONS[way](export)
    with django_capture_on_commit_callbacks(execute=True):
        client.post(reverse(name, args=args), {"post": "yes", **data})
    assert QueryExport.objects.exists() is not may_delete
    assert storages["default"].exists("a.csv") is not may_delete


def test_the_pages_offer_no_writing(page, staff):
    staff.user_permissions.remove(Permission.objects.get(codename="delete_queryexport"))
    export = make_export()
    for text in (page(LIST).content.decode(), page(DETAIL, export.pk).content.decode()):
        for offer in ("addlink", "deletelink", 'name="_save"', "delete_selected", "/delete/"):
            assert offer not in text


@pytest.mark.parametrize("codenames", [[], ["add_queryexport", "delete_queryexport"]])
def test_staff_without_the_view_permission_are_refused(page, staff, codenames):
    staff.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    export = make_export()
    assert page(LIST).status_code == 403
    assert page(DETAIL, export.pk).status_code == 403
    assert b"exporter/queryexport" not in page("admin:index").content


def test_the_view_permission_is_enough(page, staff):
    staff.user_permissions.set(Permission.objects.filter(codename="view_queryexport"))
    export = make_export()
    assert page(LIST).status_code == 200
    assert page(DETAIL, export.pk).status_code == 200
    assert b"exporter/queryexport" in page("admin:index").content


def test_others_are_sent_to_the_login(client, django_user_model):
    export = make_export()
    for user in (None, django_user_model.objects.create_user("ada")):
        if user:
            client.force_login(user)
        for url in (reverse(LIST), reverse(DETAIL, args=[export.pk])):
            response = client.get(url)
            assert response.status_code == 302
            assert response.url.startswith(reverse("admin:login"))


def test_a_user_with_exports_can_be_deleted(admin_client, django_user_model):
    user = django_user_model.objects.create_user("ada")
    export = make_export(created_by=user)
    url = reverse("admin:auth_user_delete", args=[user.pk])
    assert admin_client.post(url, {"post": "yes"}).status_code == 302
    export.refresh_from_db()
    assert export.created_by is None

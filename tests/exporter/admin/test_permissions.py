from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_infra.exporter.models import ExportState, QueryExport
from exporter.admin.rows import (
    CANCEL,
    DELETE,
    DETAIL,
    DOWNLOAD,
    LIST,
    RUN_AGAIN,
    get_listed,
    make_export,
    make_file,
    permit,
)

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


@pytest.mark.parametrize("way", DELETIONS)
def test_the_confirmation_says_that_files_are_deleted_too(page, client, way):
    export = make_export()
    page(LIST)
    name, args, data = DELETIONS[way](export)
    text = client.post(reverse(name, args=args), data).content.decode()
    if way == "page":
        text = client.get(reverse(name, args=args)).content.decode()
    assert {"page": "The file is", "action": "Their files are"}[way] + " deleted too." in text


def test_after_a_deletion_the_list_is_shown_where_there_is_one(client, owner, staff):
    mine = [make_export(created_by=owner) for _ in range(2)]
    urls = [reverse(DELETE, args=[each.pk]) for each in mine]
    filters = "?_changelist_filters=state__exact%3Dsuccess"
    assert client.post(urls[0] + filters, {"post": "yes"}).url == (
        f"{reverse(LIST)}?state__exact=success"
    )
    assert client.post(urls[1], {"post": "yes"}).url == reverse("admin:index")
    export = make_export()
    client.force_login(staff)
    url = reverse(DELETE, args=[export.pk])
    assert client.post(url, {"post": "yes"}).url == reverse(LIST)


def test_the_pages_offer_no_writing(page, staff):
    staff.user_permissions.remove(Permission.objects.get(codename="delete_queryexport"))
    export = make_export()
    for text in (page(LIST).content.decode(), page(DETAIL, export.pk).content.decode()):
        for offer in (
            "addlink",
            "deletelink",
            'name="_save"',
            "delete_selected",
            "/delete/",
            "/history/",
        ):
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


# Own exports


def test_owners_see_their_own_exports_alone(client, owner, staff):
    own, foreign = make_export(created_by=owner), make_export(created_by=staff)
    response = client.get(reverse(LIST))
    assert get_listed(response) == {own.pk}
    text = response.content.decode()
    assert "column-created_by" not in text
    assert "export-owner" not in text
    assert client.get(reverse(DETAIL, args=[own.pk])).status_code == 200
    for name in (DETAIL, DELETE, DOWNLOAD, "admin:exporter_queryexport_history"):
        response = client.get(reverse(name, args=[foreign.pk]))
        assert (response.status_code, response.url) == (302, reverse("admin:index"))
    assert b"exporter/queryexport" in client.get(reverse("admin:index")).content


@pytest.mark.parametrize("codename", ["change_queryexport", "delete_queryexport"])
def test_to_change_or_delete_is_not_to_see(client, owner, staff, codename):
    permit(owner, codename)
    own, foreign = make_export(created_by=owner), make_export(created_by=staff)
    assert get_listed(client.get(reverse(LIST))) == {own.pk}
    for name in (CANCEL, RUN_AGAIN, DELETE):
        response = client.post(reverse(name, args=[foreign.pk]), {"post": "yes"})
        assert (response.status_code, response.url) == (302, reverse("admin:index"))
    own.delete()
    assert client.get(reverse(LIST)).status_code == 403
    assert QueryExport.objects.get() == foreign


def test_who_owns_nothing_is_refused_everywhere(client, owner, staff):
    export = make_export(ExportState.PROCESSING, created_by=staff)
    for name in (CANCEL, RUN_AGAIN, DELETE):
        assert client.post(reverse(name, args=[export.pk]), {"post": "yes"}).status_code == 403
    for name in (DETAIL, DOWNLOAD, DELETE):
        assert client.get(reverse(name, args=[export.pk])).status_code == 403
    assert QueryExport.objects.get().state == "processing"


def test_a_foreign_export_takes_the_queries_of_a_missing_one(client, owner, staff):
    make_export(created_by=owner)
    foreign = make_export(created_by=staff)
    statements = []
    for pk in (foreign.pk, "x"):
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse(DETAIL, args=[pk]))
        asked = [query["sql"] for query in queries if "exporter_queryexport" in query["sql"]]
        statements.append([sql.replace(f"'{pk}'", "") for sql in asked])
    assert statements[0] == statements[1]


def test_the_database_is_asked_once_whether_one_owns_exports(client, owner):
    make_export(created_by=owner)
    with CaptureQueriesContext(connection) as queries:
        client.get(reverse(LIST))
    assert sum("LIMIT 1" in query["sql"] for query in queries if "SELECT 1" in query["sql"]) == 1


@pytest.mark.parametrize("way", DELETIONS)
def test_owners_delete_their_own(client, owner, way, django_capture_on_commit_callbacks):
    export = make_file(created_by=owner)
    name, args, data = DELETIONS[way](export)
    with django_capture_on_commit_callbacks(execute=True):
        client.post(reverse(name, args=args), {"post": "yes", **data})
    assert not QueryExport.objects.exists()
    assert not storages["default"].exists(export.file.name)


def test_owners_who_view_all_delete_no_other(client, owner, staff):
    permit(owner, "view_queryexport")
    own, foreign = make_export(created_by=owner), make_export(created_by=staff)
    data = {"action": "delete_selected", "_selected_action": [own.pk, foreign.pk], "post": "yes"}
    assert client.post(reverse(LIST), data).status_code == 403
    assert client.post(reverse(DELETE, args=[foreign.pk]), {"post": "yes"}).status_code == 403
    assert QueryExport.objects.count() == 2


def test_what_others_may_do_is_offered_to_them_alone(client, owner, staff):
    permit(owner, "view_queryexport")
    export = make_export(ExportState.PROCESSING, created_by=staff)
    text = client.get(reverse(DETAIL, args=[export.pk])).content.decode()
    assert "/cancel/" not in text
    assert "/delete/" not in text

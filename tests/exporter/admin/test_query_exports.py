from __future__ import annotations

import datetime
from html import escape

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, Storage, storages
from django.urls import reverse

from django_infra.exporter.models import ExportState, QueryExport
from testapp.models import Author, Book

pytestmark = pytest.mark.django_db

LIST = "admin:exporter_queryexport_changelist"
DELETE = "admin:exporter_queryexport_delete"
DETAIL = "admin:exporter_queryexport_change"
PERMISSIONS = ["add_queryexport", "change_queryexport", "delete_queryexport", "view_queryexport"]


class PrivateStorage(InMemoryStorage):
    def url(self, name):
        return Storage.url(self, name)


class BrokenStorage(InMemoryStorage):
    def url(self, name):
        raise OSError("The signing service is away.")


@pytest.fixture
def staff(django_user_model):
    """A staff user with every permission on exports."""
    user = django_user_model.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=PERMISSIONS))
    return user


@pytest.fixture
def page(client, staff):
    """Get a page of the admin as staff."""
    client.force_login(staff)

    def get(name, *args, **query):
        return client.get(reverse(name, args=args), query)

    return get


def make_export(state=ExportState.SUCCESS, error=None, **fields):
    defaults = {"model": Author, "format": "csv", "storage_alias": "default"}
    export = QueryExport.objects.schedule(**defaults | fields)
    if state != ExportState.SCHEDULED:
        export.claim("token")
    if state == ExportState.SUCCESS:
        export.succeed(row_count=12345, file_size=2048, job_time=datetime.timedelta(seconds=61))
    if state == ExportState.FAIL:
        export.fail(error or ValueError("no"), job_time=datetime.timedelta(seconds=1))
    return export


def get_listed(response):
    return {export.pk for export in response.context["cl"].result_list}


def test_the_model_is_registered():
    assert admin.site.is_registered(QueryExport)


# List


def test_the_list_shows_the_facts(page, staff):
    export = make_export(created_by=staff)
    response = page(LIST)
    assert response.status_code == 200
    text = response.content.decode()
    for fact in (export.id, "Success", "100", "12345", "2.0\xa0KB", "staff"):
        assert fact in text


@pytest.mark.parametrize("state", ExportState)
def test_the_list_shows_every_state(page, state):
    make_export(state)
    response = page(LIST)
    assert response.status_code == 200
    assert str(state.label) in response.content.decode()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"state__exact": "fail"}, {"failed"}),
        ({"state__exact": "success"}, {"book", "author"}),
        ({"model_label": "testapp.Book"}, {"book"}),
        ({"format": "tsv"}, {"failed"}),
        ({"created_at__gte": "2100-01-01 00:00:00+00:00"}, set()),
        ({"state__exact": "success", "model_label": "testapp.Author"}, {"author"}),
    ],
    ids=str,
)
def test_the_list_can_be_filtered(page, query, expected):
    exports = {
        "author": make_export(),
        "book": make_export(model=Book),
        "failed": make_export(ExportState.FAIL, format="tsv"),
    }
    assert get_listed(page(LIST, **query)) == {exports[name].pk for name in expected}


@pytest.mark.parametrize("query", ["staff", "STAF", "users.csv", "reports/", "{id}", "{id} staff"])
def test_the_list_can_be_searched(page, staff, query):
    export = make_export(created_by=staff, file_path="reports/users.csv")
    make_export(file_path="other.csv")
    assert get_listed(page(LIST, q=query.format(id=export.id))) == {export.pk}


@pytest.mark.parametrize("query", ["nothing", "%", "_", "'", "\0", "' OR 1=1 --", "\ud83d"])
def test_the_list_can_be_searched_for_anything(page, query):
    make_export(file_path="other.csv")
    response = page(LIST, q=query.encode("utf-8", "replace").decode())
    assert response.status_code == 200


@pytest.mark.parametrize(
    "query", [{"created_by__password__startswith": "m"}, {"created_by__email": "x"}]
)
def test_the_list_cannot_be_filtered_through_relations(page, query):
    make_export()
    assert page(LIST, **query).status_code == 400


@pytest.mark.parametrize("order", range(1, 9))
def test_the_list_can_be_ordered_by_every_column(page, order):
    make_export()
    make_export(ExportState.SCHEDULED)
    for direction in ("", "-"):
        assert len(get_listed(page(LIST, o=f"{direction}{order}"))) == 2


def test_the_list_takes_the_same_queries_for_any_number_of_exports(
    page, django_user_model, django_assert_max_num_queries
):
    counts = []
    for size in (1, 20):
        for number in range(size):
            user = django_user_model.objects.create_user(f"user-{size}-{number}")
            make_export(created_by=user)
        with django_assert_max_num_queries(20) as queries:
            assert page(LIST).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


# Detail


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


# Permissions


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
        for offer in ("addlink", "deletelink", 'name="_save"', 'name="action"'):
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

from __future__ import annotations

import datetime
import uuid
from urllib.parse import quote

import pytest
from django.contrib.auth.models import Permission
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from django_infra.exporter.models import ExportState, QueryExport
from django_infra.exporter.rest.serializers import QueryExportSerializer
from exporter.rest.rows import LIST, SECRET, get_detail, get_ids, make_export

pytestmark = pytest.mark.django_db


def test_the_urls_have_the_fixed_names():
    assert reverse("exporter:exporter-list") == LIST
    assert reverse("exporter:exporter-detail", args=["Author-1-x"]) == f"{LIST}Author-1-x/"


# What is shown


def test_an_export_has_these_keys_and_values(login, user):
    export = make_export(user)
    export.refresh_from_db()
    response = login.get(get_detail(export))
    assert response.status_code == 200
    assert response.json() == {
        "id": export.id,
        "name": "",
        "state": "success",
        "format": "csv",
        "checksum": "",
        "created_by": user.pk,
        "created_at": to_json(export.created_at),
        "finished_at": to_json(export.finished_at),
        "expires_at": None,
        "download_url": f"http://testserver{get_detail(export)}download/",
        "estimated_seconds_left": None,
        "metadata": {
            "start_time": to_json(export.start_time),
            "job_time": "P0DT00H01M01S",
            "file_size": 10,
            "row_count": 2,
            "progress_percent": 100,
            "error_log": "",
        },
    }
    assert login.get(LIST).json() == {
        "next": None,
        "previous": None,
        "results": [response.json()],
    }


def to_json(moment):
    return moment.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize("state", ExportState)
def test_every_state_has_the_same_keys(login, user, state):
    data = login.get(get_detail(make_export(user, state))).json()
    assert data["state"] == state
    assert list(data) == QueryExportSerializer.Meta.fields
    assert list(data["metadata"]) == list(QueryExport().metadata)


def test_no_path_and_no_url_of_the_storage_leaves(login, user, media_root):
    export = make_export(user, file_path="hidden-folder/users.csv")
    storages["default"].save("hidden-folder/users.csv", ContentFile(b"x"))
    for url in (LIST, get_detail(export)):
        for accept in ("application/json", "text/html"):
            text = login.get(url, headers={"accept": accept}).content.decode()
            assert export.id in text
            for secret in ("hidden-folder", "users.csv", str(media_root), "path_key"):
                assert secret not in text


def test_an_error_is_told_in_general_terms(login, user):
    export = make_export(user, ExportState.FAIL)
    for url in (LIST, get_detail(export)):
        response = login.get(url)
        assert "p!n" not in response.content.decode()
        assert "ValueError" not in response.content.decode()
    assert response.json()["metadata"]["error_log"] == "The export failed."


@pytest.mark.parametrize("owner", ["viewer", "other", None])
def test_staff_are_told_the_whole_error(client, viewer, other, owner):
    client.force_login(viewer)
    export = make_export({"viewer": viewer, "other": other}.get(owner), ExportState.FAIL)
    error = client.get(get_detail(export)).json()["metadata"]["error_log"]
    assert error == f"ValueError: {SECRET}"


# Who sees what


@pytest.mark.parametrize("classes", [None, ["rest_framework.permissions.AllowAny"], []])
@pytest.mark.parametrize("method", ["get", "head", "options", "post", "put", "patch", "delete"])
def test_anonymous_users_are_refused(client, settings, classes, method):
    if classes is not None:
        settings.REST_FRAMEWORK = {"DEFAULT_PERMISSION_CLASSES": classes}
    export = make_export()
    for url in (LIST, get_detail(export), f"{LIST}nope/"):
        response = getattr(client, method)(url)
        assert response.status_code in {401, 403}
        assert export.id not in response.content.decode()


@pytest.mark.parametrize(
    "settings_of_drf",
    [{"DEFAULT_AUTHENTICATION_CLASSES": []}, {"UNAUTHENTICATED_USER": None}],
    ids=str,
)
def test_users_that_cannot_be_known_are_refused(client, settings, user, settings_of_drf):
    settings.REST_FRAMEWORK = settings_of_drf
    assert client.get(LIST).status_code in {401, 403}


def test_the_wrong_password_is_refused(client, user):
    client.credentials(HTTP_AUTHORIZATION="Basic YWRhOndyb25n")
    assert client.get(LIST).status_code in {401, 403}


def test_an_inactive_user_is_refused(client, user):
    client.force_login(user)
    user.is_active = False
    user.save()
    assert client.get(LIST).status_code in {401, 403}


def test_a_user_lists_their_own_exports(login, user, other):
    own = [make_export(user, state).pk for state in ExportState]
    make_export(other)
    make_export()
    assert sorted(get_ids(login.get(LIST))) == sorted(own)


@pytest.mark.parametrize("owner", ["other", None])
def test_an_export_of_somebody_else_is_like_none_at_all(login, user, other, owner):
    foreign = login.get(get_detail(make_export(other if owner else None)))
    missing = login.get(f"{LIST}Author-20260101000000-{'x' * 22}/")
    assert foreign.status_code == missing.status_code == 404
    assert foreign.content == missing.content
    assert foreign.headers == missing.headers


def test_an_export_of_somebody_else_takes_the_same_queries(login, other, django_assert_num_queries):
    url = get_detail(make_export(other))
    statements = []
    for path in (url, f"{LIST}{'x' * len(url.split('/')[-2])}/"):
        with django_assert_num_queries(3) as queries:
            login.get(path)
        statements.append(queries[-1]["sql"].replace(path.split("/")[-2], ""))
    assert statements[0] == statements[1]


def test_staff_without_the_permission_see_their_own(client, staff, other):
    client.force_login(staff)
    own, foreign = make_export(staff), make_export(other)
    assert get_ids(client.get(LIST)) == [own.pk]
    assert client.get(get_detail(foreign)).status_code == 404


def test_staff_with_the_permission_see_all(client, viewer, other):
    client.force_login(viewer)
    exports = [make_export(viewer), make_export(other), make_export()]
    assert set(get_ids(client.get(LIST))) == {export.pk for export in exports}
    for export in exports:
        assert client.get(get_detail(export)).status_code == 200


def test_the_permission_without_staff_is_not_enough(login, user, other):
    user.user_permissions.add(Permission.objects.get(codename="view_queryexport"))
    make_export(other)
    assert get_ids(login.get(LIST)) == []


# ?state=


@pytest.mark.parametrize(
    "query", ["state=fail", "state=nope", "format=csv", "ordering=x", "cursor=x"]
)
def test_the_filters_of_the_list_do_nothing_to_one_export(login, user, query):
    assert login.get(f"{get_detail(make_export(user))}?{query}").status_code == 200


@pytest.mark.parametrize(
    "id",
    ["nope", "\0", "a\0b", "'", '"', "%", "1 OR 1=1", "😀", "\ufeff", "x" * 5000, "\n", "..;", "-"],
    ids=ascii,
)
def test_an_id_of_anything_is_not_found(login, user, id):
    make_export(user)
    assert login.get(f"{LIST}{quote(id)}/").status_code == 404


# Pages


def test_exports_come_newest_first(login, user):
    now = timezone.now()
    exports = [make_export(user) for _ in range(3)]
    for export, hours in zip(exports, (2, 0, 1), strict=True):
        export.update(created_at=now - datetime.timedelta(hours=hours))
    assert get_ids(login.get(LIST)) == [exports[1].pk, exports[2].pk, exports[0].pk]


@pytest.mark.parametrize("project", [{}, {"DEFAULT_PAGINATION_CLASS": None, "PAGE_SIZE": None}])
def test_the_list_has_pages_whatever_the_project_says(login, user, settings, project):
    settings.REST_FRAMEWORK = project
    for _ in range(51):
        make_export(user)
    first = login.get(LIST)
    assert len(get_ids(first)) == 50
    assert len(get_ids(login.get(first.json()["next"]))) == 1


# Methods


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_another_method_cannot_be_smuggled_in(login, user, method):
    export = make_export(user)
    headers = {
        "x-http-method-override": method,
        "x-http-method": method,
        "x-method-override": method,
    }
    url = f"{get_detail(export)}?_method={method}"
    assert login.get(url, headers=headers).status_code == 200
    assert login.post(url, {"_method": method}, headers=headers).status_code == 405
    assert login.post(f"{LIST}?_method={method}", headers=headers).status_code == 400
    assert QueryExport.objects.values_list("state").get() == ("success",)


def test_a_write_from_another_site_changes_nothing(user):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(user)
    export = make_export(user)
    for method in ("post", "put", "patch", "delete"):
        assert getattr(client, method)(get_detail(export)).status_code in {403, 405}
    assert QueryExport.objects.filter(pk=export.pk).exists()


def test_options_tell_nothing_of_users(login, user, other):
    export = make_export(user)
    assert list(login.options(LIST).json()["actions"]["POST"]) == ["name", "params", "format"]
    for url in (LIST, get_detail(export)):
        response = login.options(url)
        assert response.status_code == 200
        assert set(response.json()) <= {"name", "description", "renders", "parses", "actions"}
        assert "grace" not in response.content.decode()


def test_head_has_no_body(login, user):
    response = login.head(get_detail(make_export(user)))
    assert (response.status_code, response.content) == (200, b"")


# Queries


def test_a_list_takes_the_same_queries_for_any_number_of_exports(
    login, user, django_assert_num_queries
):
    for number in (1, 6):
        while QueryExport.objects.count() < number:
            export = make_export(user, ExportState.FAIL)
        # The session, the user and the exports.
        for url, queries in ((LIST, 3), (get_detail(export), 3)):
            with django_assert_num_queries(queries):
                assert login.get(url).status_code == 200


def test_a_list_for_staff_takes_the_same_queries_for_any_number_of_exports(
    client, viewer, django_user_model, django_assert_max_num_queries
):
    client.force_login(viewer)
    counts = []
    for size in (1, 10):
        for _ in range(size):
            make_export(django_user_model.objects.create_user(str(uuid.uuid4())), ExportState.FAIL)
        with django_assert_max_num_queries(10) as queries:
            assert client.get(LIST).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


# The browsable API


@pytest.mark.parametrize("has_django_filters", [False, True])
def test_the_browsable_api_shows_the_exports(login, user, settings, has_django_filters):
    if has_django_filters:
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django_filters"]
    export = make_export(user)
    for url in (LIST, f"{LIST}?state=success", get_detail(export)):
        response = login.get(url, headers={"accept": "text/html"})
        assert response.status_code == 200
        assert response["Content-Type"].startswith("text/html")
        assert export.id in response.content.decode()


@pytest.mark.parametrize("has_django_filters", [False, True])
def test_the_browsable_api_shows_bad_requests(login, settings, has_django_filters):
    if has_django_filters:
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django_filters"]
    response = login.get(f"{LIST}?state=nope", headers={"accept": "text/html"})
    assert response.status_code == 400
    assert "is not a choice" in response.content.decode()


def test_the_browsable_api_shows_pages(login, user):
    for _ in range(3):
        make_export(user)
    response = login.get(f"{LIST}?page_size=1", headers={"accept": "text/html"})
    assert response.status_code == 200
    assert "cursor=" in response.content.decode()
    assert '<ul class="pager">' in response.content.decode()


def test_the_browsable_api_refuses_anonymous_users(client):
    export = make_export()
    for url in (LIST, get_detail(export)):
        response = client.get(url, headers={"accept": "text/html"})
        assert response.status_code in {401, 403}
        # The page may repeat its own address.
        text = response.content.decode().replace(get_detail(export), "")
        assert export.id not in text
        assert "Success" not in text

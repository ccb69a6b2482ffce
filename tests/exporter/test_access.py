"""Who may not run an export any more does not get the file that he once made."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_infra.exporter.changelists.export import NAME as CHANGE_LIST
from django_infra.exporter.models import ExportState, QueryExport
from django_infra.exporter.registry import NamedExport, registry
from exporter.admin.rows import DETAIL, DOWNLOAD, PROGRESS
from exporter.admin.rows import LIST as ADMIN_LIST
from exporter.rest.clients import ClosingClient
from exporter.rest.rows import CONTENT, LIST, get_detail, make_export, make_file
from testapp.models import Author

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
REFUSED = {"detail": "You may not run this export any more."}
DEAD = {"detail": "Whoever made this export may not run it any more."}


@pytest.fixture
def client():
    client = ClosingClient()
    yield client
    client.close()


@pytest.fixture
def user(author_staff):
    return author_staff


@pytest.fixture
def viewer(django_user_model):
    """A staff user who may view the exports of others, and nothing else."""
    user = django_user_model.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_queryexport"))
    return user


def make_change_list(user, *, site="admin", model="testapp.Author", **params):
    params = {"site": site, "model": model, "query": "", "columns": ["id"], **params}
    return make_file(user, name=CHANGE_LIST, params=params)


MAKERS = {
    "named": lambda user: make_file(user, name="authors"),
    "change list": make_change_list,
}


@pytest.fixture(params=MAKERS)
def export(request, user):
    return MAKERS[request.param](user)


def download(client, export):
    response = client.get(f"{get_detail(export)}download/")
    if response.streaming:
        assert b"".join(response) == CONTENT
    return response


def follow(client, export):
    client.logout()
    response = client.get(export.signed_url(expires=HOUR))
    if response.streaming:
        assert b"".join(response) == CONTENT
    return response


def get_url(client, export):
    return client.get(get_detail(export)).json()["download_url"]


def test_who_may_run_it_still_gets_the_file(client, user, export):
    assert get_url(client, export)
    assert download(client, export).status_code == 200
    assert client.get(reverse(DOWNLOAD, args=[export.pk])).status_code == 200
    assert follow(client, export).status_code == 200


def test_who_may_not_run_it_any_more_is_refused_with_a_reason(client, user, export):
    user.user_permissions.clear()
    response = download(client, export)
    assert (response.status_code, response.json()) == (403, REFUSED)
    response = follow(client, export)
    assert (response.status_code, response.json()) == (403, DEAD)
    assert QueryExport.objects.get().file


@pytest.mark.parametrize("state", ExportState)
def test_the_row_is_still_shown_without_a_link(client, user, state):
    export = make_export(user, state, name="authors")
    user.user_permissions.clear()
    row = client.get(get_detail(export)).json()
    assert (row["state"], row["download_url"]) == (state, None)
    assert [each["id"] for each in client.get(LIST).json()["results"]] == [export.pk]
    assert download(client, export).status_code == 403


def test_the_admin_shows_the_row_and_says_why(client, user, export):
    url = reverse(DOWNLOAD, args=[export.pk])
    page = client.get(reverse(DETAIL, args=[export.pk]))
    assert url in page.content.decode()
    user.user_permissions.clear()
    response = client.get(url)
    assert response.status_code == 403
    assert [str(each) for each in get_messages(response.wsgi_request)] == [REFUSED["detail"]]
    assert REFUSED["detail"] in response.content.decode()
    for page in (response, client.get(reverse(ADMIN_LIST))):
        assert export.pk in page.content.decode()
        assert url not in page.content.decode()
    assert client.get(reverse(DETAIL, args=[export.pk])).status_code == 200
    news = client.get(reverse(PROGRESS), {"id": export.pk}).json()["exports"][export.pk]
    assert (news["state"], news["download"]) == ("success", None)


@pytest.mark.parametrize(
    "change",
    [
        {"site": "no-site"},
        {"model": "testapp.Nothing"},
        {"model": "testapp.Book"},
        {"site": None, "model": None},
        {"site": [], "request": "odd"},
    ],
    ids=str,
)
def test_a_change_list_that_one_may_not_view_is_refused(client, user, change):
    export = make_change_list(user, **change)
    assert download(client, export).status_code == 403
    assert get_url(client, export) is None
    assert follow(client, export).status_code == 403


@pytest.mark.parametrize("params", [[], "odd", None, {}])
def test_a_change_list_with_odd_parameters_is_refused(client, user, params):
    export = make_file(user, name=CHANGE_LIST)
    QueryExport.objects.update(params=params if params is not None else {"site": None})
    assert download(client, export).status_code == 403


def test_who_is_no_staff_any_more_may_not_view_the_site(client, user):
    export = make_change_list(user)
    type(user).objects.update(is_staff=False)
    assert download(client, export).status_code == 403
    assert follow(client, export).status_code == 403


def test_an_error_of_the_projects_code_is_a_refusal(client, user, monkeypatch, caplog):
    export = make_change_list(user)
    monkeypatch.setattr(
        type(admin.site.get_model_admin(Author)), "has_view_permission", lambda *args: 1 / 0
    )
    assert client.get(LIST).status_code == 200
    assert download(client, export).status_code == 403
    assert "Could not tell whether" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_model_that_has_left_the_site_is_refused(client, user, monkeypatch):
    export = make_change_list(user)
    monkeypatch.delitem(admin.site._registry, Author)
    assert download(client, export).status_code == 403


@pytest.mark.parametrize("names", [[], ["authors", "authors"]], ids=["none", "one refuses"])
def test_a_name_that_tells_not_who_may_is_refused(client, user, declare, monkeypatch, names):
    export = make_file(user, name="authors")
    if names:
        declare(name="authors", permission="testapp.delete_author")(lambda params, user: None)
    else:
        monkeypatch.setattr(registry, "exports", [])
    assert download(client, export).status_code == 403
    assert get_url(client, export) is None
    assert follow(client, export).status_code == 403


def test_an_export_that_code_made_asks_for_its_owner_alone(client, user):
    export = make_file(user)
    user.user_permissions.clear()
    assert get_url(client, export)
    assert download(client, export).status_code == 200
    assert follow(client, export).status_code == 200


@pytest.mark.parametrize("name", ["", "authors", "no-more"])
def test_who_may_view_all_exports_is_not_asked_for_those_of_others(client, user, viewer, name):
    export = make_file(user, name=name)
    client.force_login(viewer)
    assert download(client, export).status_code == 200
    assert client.get(reverse(DOWNLOAD, args=[export.pk])).status_code == 200


# Signed links


@pytest.mark.parametrize("name", ["", "authors", "no-more"])
def test_a_link_to_an_export_of_nobody_asks_for_nobody(client, name, db):
    assert follow(client, make_file(name=name)).status_code == 200


@pytest.mark.parametrize("name", ["", "authors"])
@pytest.mark.parametrize("fate", ["inactive", "deleted"])
def test_a_link_of_a_user_who_is_gone_is_dead(client, user, name, fate):
    export = make_file(user, name=name)
    if fate == "inactive":
        type(user).objects.update(is_active=False)
    else:
        user.delete()
    response = follow(client, export)
    assert (response.status_code, response.json()) == (403, DEAD)


def test_a_link_does_not_ask_for_who_follows_it(client, user, viewer):
    export = make_file(user, name="authors")
    client.force_login(viewer)
    assert client.get(export.signed_url(expires=HOUR)).status_code == 200


# How often it is asked


@pytest.fixture
def asked(monkeypatch):
    """The users and scopes that were asked for."""
    asked = []
    for named in registry.exports:
        kind = type(named)
        ask = kind.may_download

        def note(self, user, scope, ask=ask):
            asked.append((self.name, user.pk, scope))
            return ask(self, user, scope)

        monkeypatch.setattr(kind, "may_download", note)
    return asked


@pytest.mark.parametrize("page", [LIST, "admin"])
def test_a_page_asks_once_for_each_name_and_change_list(client, user, asked, page):
    exports = [make_file(user, name="authors") for _ in range(3)]
    exports += [make_change_list(user, selected=[str(number)]) for number in range(3)]
    exports += [make_change_list(user, model="testapp.Book"), make_file(user)]
    url = reverse(ADMIN_LIST) if page == "admin" else page
    with CaptureQueriesContext(connection) as queries:
        response = client.get(url)
    assert sorted(name for name, *_ in asked) == [CHANGE_LIST, CHANGE_LIST, "authors"]
    assert {pk for _, pk, _ in asked} == {user.pk}
    columns = [each["sql"].partition(" FROM ")[0].split(",") for each in queries]
    assert len([each for each in columns if len(each) == 2 and "params" in each[1]]) == 1
    links = [export for export in exports if f"{export.pk}/download/" in response.content.decode()]
    assert len(links) == 7


def test_a_page_of_none_asks_nothing(client, user, asked):
    for state in (ExportState.SCHEDULED, ExportState.PROCESSING, ExportState.FAIL):
        make_export(user, state, name="authors")
    assert client.get(LIST).status_code == 200
    assert client.get(reverse(ADMIN_LIST)).status_code == 200
    assert asked == []


def test_an_export_may_say_what_of_its_parameters_decides(client, user, declare):
    @declare(name="regions")
    class Regions(NamedExport):
        values = ["id"]

        def get_scope(self, params):
            return params.get("region", "")

        def may_download(self, user, scope):
            return self.is_permitted(user) and scope != "east"

    east = make_file(user, name="regions", params={"region": "east"})
    west = make_file(user, name="regions", params={"region": "west"})
    results = {each["id"]: each["download_url"] for each in client.get(LIST).json()["results"]}
    assert results[east.pk] is None
    assert results[west.pk]
    assert download(client, east).status_code == 403
    assert download(client, west).status_code == 200


def test_the_scope_of_a_change_list_is_what_its_page_depends_on():
    (named,) = [each for each in registry.exports if each.name == CHANGE_LIST]
    params = {
        "site": "admin",
        "model": "testapp.Author",
        "middleware": {"LANGUAGE_CODE": "de"},
        "request": {"b": 1, "a": 2},
    }
    scope = named.get_scope({**params, "selected": ["1"], "query": "q=x"})
    assert json.loads(scope) == [
        "admin",
        "testapp.Author",
        {"LANGUAGE_CODE": "de"},
        {"a": 2, "b": 1},
    ]
    assert scope == named.get_scope({**params, "request": {"a": 2, "b": 1}})

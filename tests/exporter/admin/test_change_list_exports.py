from __future__ import annotations

import csv
import json
import re
from html import unescape
from urllib.parse import parse_qs

import pytest
from django.contrib.auth.models import Permission
from django.db import connections
from django.db.models import Count
from django.urls import resolve

from django_infra.exporter.changelists.export import NAME
from django_infra.exporter.changelists.requests import ChangeListRequest
from django_infra.exporter.models import QueryExport
from exporter.admin.sites import AuthorAdmin
from testapp.models import Author, Publisher

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.only_on("sqlite", "postgresql"),  # test_rows.py has the rows of all
    pytest.mark.urls("exporter.admin.sites"),
]

# Errors of the database break a transaction, and jobs are handed over after its commit.
with_commits = pytest.mark.django_db(transaction=True)

LIST = "/office/testapp/author/"
PAGE = "/office/exporter/queryexport/change-list/testapp/author/"
ASKED = {"columns": ["name", "id"], "headers": "names", "format": "csv"}


@pytest.fixture
def staff(client, django_user_model):
    """A staff user who may view authors and publishers, and is logged in."""
    user = django_user_model.objects.create_user("staff", is_staff=True)
    names = ["view_author", "view_publisher"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)
    return user


@pytest.fixture
def authors(staff):
    publisher = Publisher.objects.create(name="Allen & Sons")
    names = ["Ada", "Bea", "=Cleo", "Dora"]
    return [
        Author.objects.create(name=name, publisher=publisher if name > "B" else None)
        for name in names
    ]


@pytest.fixture
def act(client):
    """Choose the action on the change list."""

    def act(keys, query="", *, url=LIST, across="0", follow=True):
        data = {"action": "export_selected", "_selected_action": keys, "select_across": across}
        return client.post(f"{url}?{query}", data, follow=follow)

    return act


@pytest.fixture
def ask(client):
    """Send the form of the page."""

    def ask(query="", url=PAGE, **data):
        return client.post(url, {"query": query, **ASKED, **data})

    return ask


def get_text(response):
    """Return the words of the page's contents."""
    content = response.content.decode().partition('id="content-main"')[2]
    return " ".join(re.sub(r"<[^>]*>", " ", content).split())


def get_checked(response):
    boxes = re.findall(r'<input type="checkbox" name="columns"[^>]*>', response.content.decode())
    return {re.search('value="([^"]*)"', box)[1] for box in boxes if box.endswith("checked>")}


def get_offered(response):
    content = response.content.decode()
    return re.findall(r'<input type="checkbox" name="columns" value="([^"]*)"', content)


def read(response, client):
    """Return the rows of the file to which a response leads."""
    assert response.status_code == 302
    sent = client.get(response.url)
    assert sent.status_code == 200
    return list(csv.reader(sent.getvalue().decode().splitlines()))


# The action


def read_keys(response):
    """Return the keys that the form of the page carries, in one field."""
    (value,) = re.findall(r'<input type="hidden" name="keys" value="(.*?)">', content(response))
    return json.loads(unescape(value))


def content(response):
    return response.content.decode()


def test_the_action_asks_about_the_ticked_rows(authors, act):
    keys = [author.pk for author in authors[1:3]]
    response = act(keys, "q=e")
    assert response.status_code == 200
    assert "2 selected authors Back to the list" in get_text(response)
    content = response.content.decode()
    assert '<input type="hidden" name="is_selection" value="1">' in content
    assert read_keys(response) == list(map(str, keys))
    assert f'action="{PAGE}"' in content


def test_the_action_asks_about_all_that_match(authors, act):
    publisher = authors[1].publisher
    response = act([authors[1].pk], f"publisher__id__exact={publisher.pk}&q=a&p=1&o=-1", across="1")
    text = get_text(response)
    assert "All 2 authors that match: publisher: Allen &amp; Sons search “a” Back" in text
    assert 'name="keys"' not in response.content.decode()
    assert 'name="is_selection"' not in response.content.decode()
    assert (
        f"{LIST}?publisher__id__exact={publisher.pk}&amp;q=a&amp;o=-1" in response.content.decode()
    )


@pytest.mark.parametrize("across", ["0", "1"])
def test_the_action_leads_to_a_page_that_can_be_loaded_again(authors, act, client, across):
    keys = [str(author.pk) for author in authors[1:3]]
    response = act(keys, "q=e&o=1", across=across, follow=False)
    assert response.status_code == 302
    path, _, query = response.url.partition("?")
    selection = {"is_selection": ["1"], "selected": keys} if across == "0" else {}
    assert (path, parse_qs(query)) == (PAGE, {"query": ["q=e&o=1"], **selection})
    shown = get_text(client.get(response.url))
    assert ("2 selected authors" if selection else "All 2 authors that match") in shown


def test_more_keys_than_a_url_can_have_are_answered_with_the_page(authors, act):
    response = act([author.pk for author in authors] * 45, follow=False)
    assert response.status_code == 200
    assert "4 selected authors" in get_text(response)


def test_more_rows_than_a_form_may_have_fields_are_exported(authors, act, ask, client, settings):
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 12
    keys = [str(author.pk) for author in authors] + [str(-number) for number in range(5)]
    carried = json.dumps(read_keys(act(keys, follow=True)))
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 8
    assert json.loads(carried) == keys
    rows = read(ask("", keys=carried, is_selection="1"), client)
    assert len(rows) == 1 + len(authors)


@pytest.mark.parametrize("keys", ["x", "{}", "1", "[1]", '"a"', "[" * 100_000, "[null]"])
def test_keys_that_are_no_list_of_texts_are_refused(authors, ask, keys):
    assert ask("", keys=keys, is_selection="1").status_code == 400
    assert not QueryExport.objects.exists()


def test_the_selection_of_a_link_is_not_that_of_a_filter(authors, client):
    # Without our own name beside it, it is the change list's.
    response = client.get(PAGE, {"selected": authors[0].pk})
    assert (response.status_code, response.url) == (302, LIST)


@pytest.mark.parametrize("method", ["get", "post"])
def test_no_selected_row_is_not_all_of_them(authors, client, method):
    asked = {"query": "q=e", "is_selection": "1", **ASKED}
    response = getattr(client, method)(PAGE, asked)
    assert (response.status_code, response.url) == (302, f"{LIST}?q=e")
    assert b"No row is selected." in client.get(response.url).content
    refused = getattr(client, method)(PAGE, {**asked, "query": "q=%00"})
    assert (refused.status_code, refused.url) == (302, LIST)
    assert not QueryExport.objects.exists()


def test_the_page_can_be_linked(authors, client):
    shown = [client.get(PAGE, query) for query in ({"q": "Bea"}, {"query": "q=Bea"})]
    for response in shown:
        assert "The 1 author that matches: search “Bea”" in get_text(response)
    assert "All 4 authors of the list" in get_text(client.get(PAGE))


def test_a_filter_that_shows_no_choice_as_chosen_is_told_by_its_value(authors, client):
    text = get_text(client.get(PAGE, {"query": "initial=B"}))
    assert "The 1 author that matches: initial: B Back" in text


def test_a_site_has_the_action_for_all_models(staff, act, client):
    staff.user_permissions.add(Permission.objects.get(codename="view_book"))
    assert client.get("/wide/testapp/book/").status_code == 200
    author = Author.objects.create(name="Ada")
    book = author.books.create(title="Notes")
    response = act([book.pk], url="/wide/testapp/book/")
    assert "1 selected book" in get_text(response)
    assert "/wide/exporter/queryexport/change-list/testapp/book/" in response.content.decode()


def test_a_site_without_exports_says_what_it_needs(authors, act, client):
    response = act([authors[0].pk], url="/bare/testapp/author/", follow=False)
    assert (response.status_code, response.url) == (302, "/bare/testapp/author/")
    assert b"site.register(QueryExport, QueryExportAdmin)" in client.get(response.url).content


# What is offered


def test_the_columns_are_those_of_the_list_at_first(authors, client):
    response = client.get(PAGE)
    assert get_checked(response) == {"name", "publisher__name", "book_count"}
    assert 'name="order" value="name publisher__name book_count"' in response.content.decode()
    assert {"email", "publisher__name"} <= set(get_offered(response))
    assert "Cannot be exported, as Python computes it: initial letter." in get_text(response)


@pytest.mark.parametrize("columns", [["name"], ["publisher__name"], []])
def test_columns_are_open_if_they_are_the_lists_own_or_one_is_chosen(authors, ask, columns):
    response = ask(columns=columns, format="exe")
    is_open = {group.path: is_open for group, is_open in response.context["groups"]}
    assert is_open == {"": True, "publisher__": "publisher__name" in columns}


def test_related_columns_are_for_those_who_may_view_the_model(authors, client, staff):
    staff.user_permissions.remove(Permission.objects.get(codename="view_publisher"))
    assert "publisher__name" not in get_offered(client.get(PAGE))


def test_passwords_are_never_offered(admin_client, act):
    response = admin_client.get("/wide/exporter/queryexport/change-list/auth/user/")
    assert "username" in get_offered(response)
    assert not [path for path in get_offered(response) if "password" in path]


def test_the_next_time_the_choice_is_remembered(authors, client, ask):
    asked = {"columns": ["publisher__name", "id"], "headers": "names"}
    assert ask(**asked, **{"csv-escape_formulas": ""}).status_code == 302
    content = (response := client.get(PAGE)).content.decode()
    assert get_checked(response) == {"publisher__name", "id"}
    assert 'name="order" value="publisher__name id"' in content
    assert re.search(r'value="names"[^>]*checked', content)
    assert not re.search(r'name="csv-escape_formulas"[^>]*checked', content)


def test_what_is_not_offered_any_more_is_forgotten(authors, client, ask, staff):
    assert ask(columns=["publisher__name", "id"]).status_code == 302
    staff.user_permissions.remove(Permission.objects.get(codename="view_publisher"))
    assert get_checked(response := client.get(PAGE)) == {"id"}
    assert 'name="order" value="id"' in response.content.decode()


def test_each_model_has_choices_of_its_own(authors, ask, client, staff):
    staff.user_permissions.add(Permission.objects.get(codename="view_book"))
    assert ask(columns=["id"]).status_code == 302
    book = client.get("/wide/exporter/queryexport/change-list/testapp/book/")
    assert "title" in get_checked(book)


@pytest.mark.parametrize("is_on", [True, False])
def test_formulas_are_escaped_as_the_setting_says_at_first(authors, client, settings, is_on):
    settings.EXPORTER_ESCAPE_FORMULAS = is_on
    box = re.search(
        r'<input[^>]*name="csv-escape_formulas"[^>]*>', client.get(PAGE).content.decode()
    )
    assert ("checked" in box[0]) is is_on


def test_each_user_has_choices_of_their_own(authors, ask, admin_client):
    assert ask(columns=["id"]).status_code == 302
    assert get_checked(admin_client.get(PAGE)) == {"name", "publisher__name", "book_count"}


def test_the_page_takes_the_same_queries_for_any_number_of_rows(
    authors, client, django_assert_num_queries, django_assert_max_num_queries
):
    with django_assert_max_num_queries(15) as queries:
        client.get(PAGE, {"q": "a"})
    Author.objects.bulk_create(Author(name=f"Ada {number}") for number in range(50))
    with django_assert_num_queries(len(queries)):
        client.get(PAGE, {"q": "a"})


# Starts


def test_a_small_export_is_downloaded_at_once(authors, ask, client):
    rows = read(ask("q=a&o=1"), client)
    assert rows == [
        ["name", "id"],
        *([each.name, str(each.pk)] for each in (authors[0], *authors[1::2])),
    ]
    export = QueryExport.objects.get()
    assert (export.name, export.created_by.username) == (NAME, "staff")
    assert b"The export is ready." in client.get(LIST).content


def test_only_the_selected_rows_are_exported(authors, ask, client):
    rows = read(ask(selected=[authors[0].pk, authors[3].pk]), client)
    assert [name for name, _ in rows[1:]] == ["Dora", "Ada"]


def test_headers_can_be_for_people(authors, ask, client):
    rows = read(ask(columns=["publisher__name", "book_count"], headers="verbose"), client)
    assert rows[0] == ["Publisher: Name", "Book count"]


@pytest.mark.parametrize(
    ("ticked", "expected"), [({"csv-escape_formulas": "on"}, "'=Cleo"), ({}, "=Cleo")]
)
def test_formulas_are_escaped_if_asked(authors, ask, client, ticked, expected):
    rows = read(ask("q=Cleo", columns=["name"], **ticked), client)
    assert rows[1:] == [[expected]]


def test_without_scripts_columns_come_as_remembered_and_then_as_offered(authors, ask, client):
    columns = ["id", "name", "email", "publisher__name"]
    rows = read(ask(columns=columns, order="publisher__name name"), client)
    assert rows[0] == ["publisher__name", "name", "id", "email"]


def test_scripts_send_all_columns_in_one_field(authors, ask, client):
    asked = {"columns": [], "order": "", "paths": "publisher__name id name id"}
    assert read(ask(**asked), client)[0] == ["publisher__name", "id", "name"]
    response = ask(**asked | {"paths": "publisher__name nope", "columns": ["name"]})
    assert "“nope” is not offered" in content(response)
    assert get_checked(response) == {"publisher__name"}
    assert "Choose at least one column." in content(ask(**asked | {"paths": ""}))


def test_all_rows_of_a_long_page_are_ticked(authors, act, ask, client):
    """As many as Django's own form of a change list can send."""
    Author.objects.bulk_create(Author(name="Many") for _ in range(986))
    keys = [str(key) for key in Author.objects.values_list("pk", flat=True)]
    assert read_keys(response := act(keys)) == keys
    assert response.status_code == 200
    rows = read(ask(keys=json.dumps(keys), is_selection="1"), client)
    assert len(rows) == 991


def test_a_column_that_is_asked_for_twice_comes_once(authors, ask, client):
    assert read(ask(columns=["id", "name", "id"]), client)[0] == ["id", "name"]


@pytest.mark.parametrize("route", ["change-list/testapp/author/", "named/", "named/authors/"])
def test_a_job_is_there_before_it_begins(route):
    view = resolve(f"/office/exporter/queryexport/{route}").func
    assert view._non_atomic_requests == set(connections)


@with_commits
def test_a_large_export_goes_to_the_runner(authors, ask, client, settings):
    settings.EXPORTER_ADMIN_MAX_DIRECT_ROWS = 3
    settings.EXPORTER_RUNNER = {"BACKEND": "testapp.runners.BoxRunner"}
    assert "in the background" in get_text(client.get(PAGE))
    assert "downloaded at once" in get_text(client.get(PAGE, {"q": "Ada"}))
    response = ask()
    export = QueryExport.objects.get()
    assert response.url == f"/office/exporter/queryexport/{export.pk}/change/"
    assert export.state == "scheduled"


@with_commits
def test_the_browser_waits_for_a_runner_that_works_at_once(authors, ask, client, settings):
    settings.EXPORTER_ADMIN_MAX_DIRECT_ROWS = 3
    assert "The browser waits until the file is there." in get_text(client.get(PAGE))
    assert "downloaded at once" in get_text(client.get(PAGE, {"q": "Ada"}))
    ask()
    assert QueryExport.objects.get().state == "success"


def test_a_failure_leads_to_what_is_known_of_it(authors, ask, client, settings):
    settings.EXPORTER_MAX_ROWS = 2
    response = ask()
    export = QueryExport.objects.get()
    assert export.state == "fail"
    assert response.url == f"/office/exporter/queryexport/{export.pk}/change/"
    assert b"The export failed." in client.get(response.url).content


# Refusals


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"columns": []}, "Choose at least one column."),
        ({"columns": ["id", "publisher__secret"]}, "publisher__secret” is not offered"),
        ({"columns": ["\0"]}, "is not offered"),
        ({"columns": ["id"] * 2 + ["<b>"]}, "&lt;b&gt;” is not offered"),
        ({"format": "exe"}, "Select a valid choice."),
        ({"format": ""}, "This field is required."),
        ({"headers": "\0"}, "Select a valid choice."),
    ],
)
def test_what_cannot_be_is_told_beside_its_field(authors, ask, data, message):
    response = ask("q=a", selected=[authors[0].pk], order="name", **data)
    assert response.status_code == 200
    assert message in get_text(response)
    assert "Please correct the errors below." in get_text(response)
    assert not QueryExport.objects.exists()
    assert read_keys(response) == [str(authors[0].pk)]
    assert 'name="query" value="q=a"' in response.content.decode()


def test_the_choice_survives_an_error(authors, ask):
    response = ask(columns=["email", "id"], headers="names", format="exe")
    content = response.content.decode()
    assert get_checked(response) == {"email", "id"}
    assert 'name="order" value="email id"' in content
    assert re.search(r'value="names"[^>]*checked', content)
    assert not re.search(r'name="csv-escape_formulas"[^>]*checked', content)


def test_too_many_exports_are_told_on_the_page(authors, ask, settings, staff):
    settings.EXPORTER_MAX_ACTIVE_PER_USER = 1
    QueryExport.objects.schedule(
        model=Author, format="csv", storage_alias="default", created_by=staff
    )
    response = ask()
    assert response.status_code == 200
    assert "You have as many unfinished exports as you may have." in get_text(response)
    assert get_checked(response) == {"name", "id"}


@with_commits
def test_a_worker_that_cannot_be_reached_is_told_on_the_page(authors, ask, settings):
    settings.EXPORTER_ADMIN_MAX_DIRECT_ROWS = 0
    settings.EXPORTER_RUNNER = {"BACKEND": "testapp.runners.BrokenRunner"}
    response = ask()
    assert response.status_code == 200
    assert "No worker can be reached." in get_text(response)


@pytest.mark.parametrize(
    "query",
    [
        "q=%00",
        "name=%00",
        "nothing=1",
        "name__regex=(",
        "publisher__id__exact=x",
        "o=%00",
        "born__year=9999",
        "publisher__authors__email=x",
        "id=" + "9" * 40,
        "&".join(["q=a"] * 2000),
    ],
    ids=lambda query: query[:20],
)
@with_commits
def test_a_query_that_the_list_refuses_leads_back_to_it(authors, client, ask, query):
    for send in (lambda: client.get(PAGE, {"query": query}), lambda: ask(query)):
        response = send()
        if response.status_code == 302 and response.url == LIST:
            assert b"cannot be exported" in client.get(LIST).content
        else:
            # Django's change list shows something instead.
            assert client.get(f"{LIST}?{query}").status_code == 200
    assert QueryExport.objects.count() <= 1


@pytest.mark.parametrize("key", ["x", "\0", "9" * 40, "-1", "1.5"])
@with_commits
def test_keys_that_are_none_are_no_error(authors, ask, key):
    response = ask(selected=[key])
    assert response.status_code == 302
    assert response.url == LIST or QueryExport.objects.get().row_count == 0


def test_a_flood_of_keys_is_refused(authors, ask):
    assert ask(selected=list(range(2000))).status_code == 400


@pytest.mark.parametrize("codenames", [[], ["view_publisher"]])
def test_who_may_not_view_the_model_is_refused(authors, client, ask, staff, codenames):
    staff.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    assert client.get(PAGE).status_code == 403
    assert ask().status_code == 403
    assert not QueryExport.objects.exists()


def test_a_model_without_the_action_is_refused(authors, client, ask, staff):
    staff.user_permissions.add(Permission.objects.get(codename="view_book"))
    url = PAGE.replace("author", "book")
    assert client.get(url).status_code == 403
    assert ask(url=url).status_code == 403


@pytest.mark.parametrize("label", ["auth/user", "none/such", "testapp/such", "a'b/%00"])
def test_a_model_that_the_site_has_not_is_missing(authors, client, label):
    assert client.get(PAGE.replace("testapp/author", label)).status_code == 404


def test_others_are_sent_to_the_login(authors, client, ask, django_user_model):
    client.force_login(django_user_model.objects.create_user("ada"))
    for response in (client.get(PAGE), ask()):
        assert response.status_code == 302
        assert response.url.startswith("/office/login/")
    assert not QueryExport.objects.exists()


def test_everything_is_escaped(authors, client):
    publisher = Publisher.objects.create(name="<script>alert(1)</script>")
    query = f"publisher__id__exact={publisher.pk}&q=<script>alert(2)</script>"
    content = client.get(f"{PAGE}?{query}").content.decode()
    assert "<script>alert" not in content
    assert content.count("&lt;script&gt;alert(") == 2


# Rows that a worker cannot find


def of_address(self, request):
    rows = Author.objects.filter(name__startswith=request.META["REMOTE_ADDR"])
    return rows.annotate(book_count=Count("books"))


@pytest.mark.parametrize("selects", [True, False])
def test_staff_are_told_at_once_that_the_site_is_not_set_up(
    authors, act, ask, client, monkeypatch, caplog, selects
):
    monkeypatch.setattr(AuthorAdmin, "get_queryset", of_address)
    client.defaults["REMOTE_ADDR"] = "Bea"
    keys = [authors[1].pk]
    if selects:
        response = act(keys, "q=e", follow=True)
    else:
        response = client.get(PAGE, {"query": "q=e"}, follow=True)
    assert response.redirect_chain[-1] == (f"{LIST}?q=e", 302)
    content = response.content.decode()
    assert "the site is not set up for it. Ask whoever runs the site." in content
    assert "REMOTE_ADDR" not in content
    assert "KeyError: 'REMOTE_ADDR'" in caplog.text
    response = ask("q=e", selected=keys if selects else [], is_selection="1" if selects else "")
    assert (response.status_code, response.url) == (302, f"{LIST}?q=e")
    assert not QueryExport.objects.exists()


class BrokenRequest(ChangeListRequest):
    def capture(self, request):
        raise LookupError("no tenant")


def test_a_request_that_cannot_be_captured_is_told_as_the_page_opens(
    authors, client, settings, caplog
):
    settings.EXPORTER_ADMIN_REQUEST = f"{__name__}.BrokenRequest"
    response = client.get(PAGE, {"query": "q=e"}, follow=True)
    assert response.redirect_chain[-1] == (f"{LIST}?q=e", 302)
    assert "the site is not set up for it" in response.content.decode()
    assert "LookupError: no tenant" in caplog.text


# Runs again


class HostRequest(ChangeListRequest):
    """Carries whose rows a request is about."""

    def capture(self, request):
        return {"first": request.META["SERVER_NAME"]}

    def restore(self, request, captured):
        request.META["SERVER_NAME"] = captured["first"]


def of_host(self, request):
    return Author.objects.filter(name__startswith=request.META["SERVER_NAME"])


@with_commits
@pytest.mark.parametrize("way", ["page", "list"])
def test_who_runs_it_again_gets_rows_of_their_own(
    authors, ask, client, admin_client, settings, monkeypatch, way
):
    settings.EXPORTER_ADMIN_REQUEST = f"{__name__}.HostRequest"
    settings.ALLOWED_HOSTS = ["*"]
    monkeypatch.setattr(AuthorAdmin, "get_queryset", of_host)
    client.defaults["SERVER_NAME"], admin_client.defaults["SERVER_NAME"] = "Bea", "Ada"
    assert read(ask(), client)[1:] == [["Bea", str(authors[1].pk)]]
    first = QueryExport.objects.get()
    pages = "/office/exporter/queryexport/"
    if way == "page":
        admin_client.post(f"{pages}{first.pk}/run-again/")
    else:
        data = {"action": "run_selected_again", "_selected_action": [first.pk]}
        admin_client.post(pages, data)
    again = QueryExport.objects.exclude(pk=first.pk).get()
    with again.file.open() as file:
        assert b"Ada" in (content := file.read())
    assert b"Bea" not in content

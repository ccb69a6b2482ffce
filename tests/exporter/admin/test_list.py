from __future__ import annotations

import datetime
import re

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst

from django_infra.exporter.models import ExportState, QueryExport
from django_infra.exporter.registry import registry
from exporter.admin.rows import (
    DETAIL,
    DOWNLOAD,
    LIST,
    PROGRESS,
    get_listed,
    loads_errors,
    make_export,
)
from ids import make_id
from testapp.models import Author, Book

# MariaDB compares and refuses as SQLite does.
pytestmark = [pytest.mark.django_db, pytest.mark.only_on("sqlite", "postgresql")]


def test_the_model_is_registered():
    assert admin.site.is_registered(QueryExport)


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
    ids=make_id,
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


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("own-bo", {"named"}),
        ("publications", {"named"}),
        ("Books IN print", {"named"}),
        ("'books in'", {"named"}),
        ("'in books'", set()),
        ("testapp.Bo", {"named", "book"}),
        ("livres", {"named", "book"}),
        ("livres named.csv", {"named"}),
        ("hidden", set()),
        ("''", {"named", "book", "hidden"}),
        ("'", set()),
    ],
)
def test_the_list_can_be_searched_for_what_it_shows(page, monkeypatch, declare, query, expected):
    declare("own-books", verbose_name="Books in print (publications)")(print)
    declare("x", verbose_name="Hidden books", is_listed=False)(print)
    monkeypatch.setattr(Book._meta, "verbose_name_plural", "Livres")
    exports = {
        "named": make_export(model=Book, name="own-books", file_path="named.csv"),
        "book": make_export(model=Book, file_path="a.csv"),
        "hidden": make_export(name="x", file_path="b.csv"),
    }
    response = page(LIST, q=query)
    assert get_listed(response) == {exports[name].pk for name in expected}
    assert "Search by ID, export, model, file or user." in response.content.decode()


@pytest.mark.parametrize("query", ["nothing", "%", "_", "'", "\0", "' OR 1=1 --", "\ud83d"])
def test_the_list_can_be_searched_for_anything(page, query):
    make_export(file_path="other.csv")
    response = page(LIST, q=query.encode("utf-8", "replace").decode())
    assert response.status_code == 200


@pytest.mark.parametrize(
    "query",
    ["a " * 21, "x" * 201, "'a b' " * 21, '"' * 300],
    ids=["words", "long", "quotes", "sign"],
)
def test_a_search_that_is_too_long_finds_nothing_and_says_so(page, query):
    make_export(file_path="a x.csv")
    response = page(LIST, q=query)
    assert get_listed(response) == set()
    (message,) = map(str, response.context["messages"])
    assert message == "Search for at most 20 words and 200 characters."


def test_the_filter_by_name_offers_staff_what_they_may_start_or_have_started(client, owner, staff):
    make_export(created_by=owner, name="retired")
    make_export(created_by=staff, name="secret")
    text = client.get(reverse(LIST)).content.decode()
    for name, is_offered in {"own-books": 1, "retired": 1, "authors": 0, "secret": 0}.items():
        assert (f"?name={name}" in text) == is_offered, name


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


def test_a_state_has_an_icon_beside_its_text(page):
    make_export(ExportState.FAIL)
    text = page(LIST).content.decode()
    assert '<span aria-hidden="true">✕</span> <span>Fail</span>' in text


def test_what_was_cancelled_looks_other_than_what_failed(page, staff):
    cancelled = make_export(ExportState.PROCESSING)
    cancelled.cancel(by=staff)
    failed = make_export(ExportState.FAIL, ValueError("ExportCancelled: no"))
    badge = (
        '<span class="export-badge export-badge-cancelled"><span aria-hidden="true">⊘</span> '
        "<span>Cancelled</span></span>"
    )
    response = page(LIST)
    assert response.content.decode().count(badge) == 1
    for export in response.context["cl"].result_list:
        assert {"error_log", "params"} <= export.get_deferred_fields()
    assert badge in page(DETAIL, cancelled.pk).content.decode()
    assert badge not in page(DETAIL, failed.pk).content.decode()
    news = page(PROGRESS, id=cancelled.pk).json()["exports"][cancelled.pk]
    assert (news["state"], news["icon"], news["label"]) == ("cancelled", "⊘", "Cancelled")
    assert news["announcement"] == "authors: Cancelled"


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(None, 'max="100" aria-label'), (0, 'value="0"'), (45, 'value="45"')],
    ids=str,
)
def test_the_bar_is_open_until_rows_are_counted(page, percent, expected):
    export = make_export(ExportState.PROCESSING)
    export.beat(row_count=1, progress_percent=percent)
    (bar,) = re.findall("<progress[^>]*>", page(LIST).content.decode())
    assert expected in bar
    assert 'aria-label="Progress of authors"' in bar


def test_the_bar_tells_percent_and_rows(page, settings):
    settings.USE_THOUSAND_SEPARATOR = True
    export = make_export(ExportState.PROCESSING)
    export.beat(row_count=12345, progress_percent=45)
    text = page(LIST).content.decode()
    assert "45% · 12,345 rows</span>" in text
    export.beat(row_count=1, progress_percent=None)
    assert ">1 row</span>" in page(LIST).content.decode()


def test_the_list_shows_duration_and_rate(page):
    make_export()
    text = page(LIST).content.decode()
    assert '<td class="field-duration">0:01:01</td>' in text
    assert '<td class="field-rate">202 rows/s</td>' in text


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ({}, "authors"),
        ({"name": "authors"}, "Authors"),
        ({"name": "own-books"}, "own-books"),
        ({"name": "no-more"}, "no-more"),
        ({"name": "unlisted"}, "authors"),
    ],
    ids=str,
)
def test_an_export_is_called_by_its_name_or_its_model(page, declare, fields, title):
    declare("unlisted")(lambda params, user: Author.objects.all())
    registry.exports[-1].is_listed = False
    make_export(**fields)
    assert f">{capfirst(title)}</a></th>" in page(LIST).content.decode()


def test_a_model_that_is_no_more_is_called_by_its_label(page):
    export = make_export()
    export.update(model_label="gone.Model")
    assert "gone.Model" in page(LIST).content.decode()
    assert page(DETAIL, export.pk).status_code == 200


def test_only_what_can_be_downloaded_has_a_link(page):
    done, expired = make_export(), make_export(file_path="expired.csv")
    expired.update(expires_at=timezone.now())
    for state in set(ExportState) - {ExportState.SUCCESS}:
        make_export(state)
    text = page(LIST).content.decode()
    assert re.findall(r'href="([^"]*/download/)"', text) == [reverse(DOWNLOAD, args=[done.pk])]
    # What has failed or expired will have none either.
    assert text.count('<td class="field-download">-</td>') == 2


# Filters


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, set()), (100, {"lost"}), (400, {"lost", "waiting"})],
)
def test_stuck_is_what_is_lost_or_waits_for_too_long(page, seconds, expected):
    exports = {
        "lost": make_export(ExportState.PROCESSING),
        "waiting": make_export(ExportState.SCHEDULED, name="authors"),
        "cancelled": make_export(ExportState.PROCESSING),
        "done": make_export(),
    }
    exports["cancelled"].cancel()
    before = timezone.now() - datetime.timedelta(seconds=seconds)
    QueryExport.objects.exclude(name="authors").update(heartbeat_at=before)
    QueryExport.objects.filter(name="authors").update(handed_over_at=before)
    assert get_listed(page(LIST, stuck="1")) == {exports[name].pk for name in expected}
    assert len(get_listed(page(LIST, stuck="x"))) == 4


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"name": "authors"}, {"named"}),
        ({"name": "no-more"}, {"gone"}),
        ({"format": "tsv"}, {"gone"}),
        ({"created_by": "{owner}"}, {"owned"}),
        ({"created_by": "{owner}", "state__exact": "fail"}, set()),
        ({"created_by": ""}, {"named", "gone", "owned"}),
        ({"created_by": "0"}, set()),
    ],
    ids=make_id,
)
def test_the_list_can_be_filtered_by_name_format_and_owner(
    admin_client, django_user_model, query, expected
):
    owner = django_user_model.objects.create_user("ada")
    exports = {
        "named": make_export(name="authors"),
        "gone": make_export(name="no-more", format="tsv"),
        "owned": make_export(created_by=owner),
    }
    query = {key: value.format(owner=owner.pk) for key, value in query.items()}
    response = admin_client.get(reverse(LIST), query)
    assert get_listed(response) == {exports[name].pk for name in expected}


@pytest.mark.parametrize(
    "query",
    [
        {"created_by": "x"},
        {"created_by": "\0"},
        {"name": "\0"},
        {"format": "\0"},
        {"model_label": "\0"},
        {"state__exact": "\0"},
        {"created_at__year": "x"},
        {"created_at__year": "9999"},
        {"created_by": "9" * 40},
    ],
    ids=str,
)
def test_a_filter_that_makes_no_sense_leads_back(admin_client, query):
    make_export()
    response = admin_client.get(reverse(LIST), query)
    assert (response.status_code, response.url) == (302, f"{reverse(LIST)}?e=1")


@pytest.mark.only_on("sqlite")  # others compare with any number
def test_the_number_of_no_user_leads_back(page):
    response = page(LIST, created_by="9" * 40)
    assert (response.status_code, response.url) == (302, f"{reverse(LIST)}?e=1")


def test_filters_can_be_counted(page):
    make_export()
    assert "csv (1)" in page(LIST, _facets="True").content.decode()


def test_the_owner_is_chosen_by_typing_and_the_other_filters_stay(admin_client, staff):
    make_export(created_by=staff)
    query = {"q": "a", "state__exact": "success", "created_by": staff.pk}
    response = admin_client.get(reverse(LIST), query)
    text = response.content.decode()
    form = text[text.index('<form method="get" class="export-owner">') :].partition("</form>")[0]
    assert re.findall('<input type="hidden" name="(.*?)" value="(.*?)">', form) == [
        ("q", "a"),
        ("state__exact", "success"),
    ]
    assert f'<option value="{staff.pk}" selected>staff</option>' in form
    assert '<label for="export-owner"' in form
    assert "admin/js/autocomplete.js" in text


def test_who_may_not_view_users_cannot_look_for_them(page, staff):
    make_export(created_by=staff)
    text = page(LIST).content.decode()
    assert "export-owner" not in text
    assert "autocomplete" not in text


# Refreshing, emptiness and queries


@pytest.mark.parametrize("state", ExportState)
def test_a_project_without_time_zones_has_the_pages_too(page, settings, state):
    settings.USE_TZ = False
    export = make_export(state)
    for name, args in ((LIST, []), (DETAIL, [export.pk])):
        assert page(name, *args).status_code == 200
    news = page(PROGRESS, id=export.pk).json()["exports"][export.pk]
    assert (news["start"] == "-") is (state == ExportState.SCHEDULED)


@pytest.mark.parametrize("state", ExportState)
def test_only_what_moves_is_loaded_again(page, state):
    export = make_export(state)
    is_moving = state in (ExportState.SCHEDULED, ExportState.PROCESSING)
    for name, args in ((LIST, []), (DETAIL, [export.pk])):
        text = page(name, *args).content.decode()
        assert ('http-equiv="refresh"' in text) is is_moving
        assert (f'data-export="{export.pk}"' in text) is is_moving
        assert f'data-url="{reverse(PROGRESS)}"' in text


def test_an_empty_list_says_what_comes_there(page):
    assert "No exports yet" in page(LIST).content.decode()
    make_export()
    assert "No exports yet" not in page(LIST).content.decode()
    for query in ({"q": "nothing"}, {"state__exact": "fail"}):
        assert "No export matches." in page(LIST, **query).content.decode()


def test_a_thousand_exports_take_the_queries_of_one(page, django_assert_max_num_queries):
    export = make_export(error=None)
    with django_assert_max_num_queries(9) as of_one:
        assert page(LIST).status_code == 200
    values = {field.attname: getattr(export, field.attname) for field in export._meta.fields}
    values |= {"path_key": None}
    QueryExport.objects.bulk_create(
        [QueryExport(**values | {"id": f"x-{number}"}) for number in range(999)], 500
    )
    with django_assert_max_num_queries(len(of_one)) as of_all:
        assert page(LIST).status_code == 200
    assert len(of_all) == len(of_one)
    assert not [query for query in of_all if loads_errors(query["sql"])]


@pytest.mark.urls("exporter.admin.sites")
def test_an_action_of_the_whole_site_shows_its_page(admin_client):
    export = make_export()
    data = {"action": "export_selected", "_selected_action": [export.pk]}
    response = admin_client.post("/wide/exporter/queryexport/", data, follow=True)
    assert response.status_code == 200
    assert response.templates[0].name == "admin/exporter/export_selected.html"

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Permission

from django_infra.exporter.changelists.export import NAME
from exporter.admin.rows import make_export, permit

pytestmark = [pytest.mark.django_db, pytest.mark.urls("exporter.admin.sites")]

PARAMS = {
    "site": "office",
    "model": "testapp.Author",
    "query": "q=<Ada>&publisher__id__exact=3&is=x&o=-1.3",
    "is_selection": False,
    "columns": ["name", "id"],
    "headers": "names",
    "options": {"delimiter": ";"},
}


@pytest.fixture
def read(client, owner):
    """Return the facts that the page shows, and the page."""

    def read(**params):
        export = make_export(name=NAME, params=PARAMS | params, created_by=owner)
        page = client.get(f"/office/exporter/queryexport/{export.pk}/change/")
        part = page.content.decode().partition("What was asked for")[2].partition("</table>")[0]
        rows = re.findall(r'<th scope="row">(.*?)</th><td dir="auto">(.*?)</td>', part)
        return dict(rows), page.content.decode()

    return read


def test_what_was_asked_of_a_change_list_is_told_in_words(read, owner):
    permit(owner, "view_author")
    found, page = read()
    assert found == {
        "Change list": '<a href="/office/testapp/author/?q=%3CAda%3E&amp;publisher__id__exact=3'
        '&amp;is=x&amp;o=-1.3">Authors</a>',
        "Rows": "All that match",
        "Search": "&lt;Ada&gt;",
        "Publisher id": "3",
        "Is": "x",
        "Ordering": "Name, descending · Book count",
        "Columns": "name, id",
        "Header names": "Field names",
        "delimiter": ";",
    }
    assert "<details><summary>Details</summary><pre" in page


@pytest.mark.parametrize("site", ["office", "gone"])
def test_there_is_a_link_only_for_who_may_view_the_change_list(read, owner, site):
    if site == "gone":
        owner.user_permissions.set(Permission.objects.filter(codename="view_author"))
    found, page = read(site=site)
    assert (found["Change list"], found["Ordering"]) == ("Authors", "-1.3")
    assert found["publisher__id__exact".capitalize()] == "3"
    assert "/office/testapp/author/?" not in page


@pytest.mark.parametrize(("count", "words"), [(1, "1 selected row"), (12, "12 selected rows")])
def test_rows_that_were_selected_are_counted(read, count, words):
    found, _page = read(is_selection=True, selected=[str(key) for key in range(count)])
    assert found["Rows"] == words


@pytest.mark.parametrize("query", ["o=9", "o=x", "o=-", "__=1", "o=", "a%00b=1", "%ff=%ff"])
def test_any_query_string_is_shown(read, owner, query):
    permit(owner, "view_author")
    assert read(query=query)[0]["Rows"] == "All that match"


def test_params_of_any_form_are_shown(read):
    found, _page = read(
        is_selection=1, selected=5, columns=None, headers=[], options=[1], query="", site=[]
    )
    assert found == {"Change list": "Authors", "Rows": "0 selected rows"}


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("q=<Ada>&publisher__id__exact=3&o=1", "search: &lt;Ada&gt; · publisher id: 3"),
        ("o=1", None),
        ("", None),
        (f"q={'x' * 100}", f"search: {'x' * 51}…"),
    ],
    ids=str,
)
def test_the_list_tells_search_and_filters_below_the_title(client, owner, query, shown):
    make_export(name=NAME, params=PARAMS | {"query": query}, created_by=owner)
    make_export(name="other", params={"query": "q=secret"}, created_by=owner)
    response = client.get("/office/exporter/queryexport/")
    found = re.findall(
        'Authors <small class="export-asked">(.*?)</small>', response.content.decode()
    )
    assert found == ([shown] if shown else [])
    for export in response.context["cl"].result_list:
        assert "params" in export.get_deferred_fields()

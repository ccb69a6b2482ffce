from __future__ import annotations

import pytest
from django.contrib import admin

from django_infra.exporter.models import ExportState, QueryExport
from exporter.admin.rows import LIST, get_listed, make_export
from testapp.models import Book

pytestmark = pytest.mark.django_db


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

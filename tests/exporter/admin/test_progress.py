from __future__ import annotations

import pytest
from django.contrib import admin
from django.urls import path, reverse

from django_infra.exporter.admin import QueryExportAdmin
from django_infra.exporter.models import ExportState, QueryExport
from exporter.admin.rows import DOWNLOAD, PROGRESS, loads_errors, make_export, permit

pytestmark = pytest.mark.django_db


class DiscreetAdmin(QueryExportAdmin):
    """An admin of a project's own, which shows fewer exports."""

    def get_queryset(self, request):
        return super().get_queryset(request).exclude(name="hidden")


discreet = admin.AdminSite("discreet")
discreet.register(QueryExport, DiscreetAdmin)

urlpatterns = [path("discreet/", discreet.urls)]


def get_news(client, *ids):
    response = client.get(reverse(PROGRESS), {"id": ids})
    assert response.status_code == 200
    return response.json()["exports"]


def test_the_news_are_what_the_list_shows(page, client):
    running, done = make_export(ExportState.PROCESSING), make_export()
    running.beat(row_count=7, progress_percent=45)
    page(PROGRESS)
    news = get_news(client, running.pk, done.pk)
    assert news[done.pk] == {
        "state": "success",
        "label": "Success",
        "icon": "✓",
        "percent": 100,
        "progress": "100% · 12345 rows",
        "rows": "12345",
        "size": "2.0\xa0KB",
        "duration": "0:01:01",
        "rate": "202 rows/s",
        "start": news[done.pk]["start"],
        "has_ended": True,
        "download": reverse(DOWNLOAD, args=[done.pk]),
        "announcement": "authors: Success",
    }
    moving = news[running.pk]
    assert (moving["percent"], moving["progress"]) == (45, "45% · 7 rows")
    assert (moving["has_ended"], moving["download"], moving["announcement"]) == (False, None, "")


@pytest.mark.parametrize("state", ExportState)
def test_there_are_news_of_every_state(page, client, state):
    export = make_export(state)
    page(PROGRESS)
    assert get_news(client, export.pk)[export.pk]["label"] == str(state.label)


def test_the_news_are_for_those_who_may_see_the_export(client, owner, staff):
    own, foreign = make_export(created_by=owner), make_export(created_by=staff)
    assert get_news(client, own.pk, foreign.pk).keys() == {own.pk}
    client.force_login(staff)
    assert get_news(client, own.pk, foreign.pk).keys() == {own.pk, foreign.pk}
    permit(staff, "change_queryexport")
    assert get_news(client, own.pk, foreign.pk).keys() == {foreign.pk}


def test_only_so_many_are_answered(page, client):
    export = make_export()
    page(PROGRESS)
    others = [f"x-{number}" for number in range(199)]
    assert get_news(client, *others, export.pk).keys() == {export.pk}
    assert get_news(client, *others, "x-199", export.pk) == {}


@pytest.mark.parametrize("id", ["", "\0", "'", "x" * 5000, "é", "-"])
def test_whatever_is_asked_for_is_answered(page, client, id):
    page(PROGRESS)
    assert get_news(client, id) == {}


def test_the_news_take_one_query_and_are_not_kept(client, owner, django_assert_num_queries):
    exports = [make_export(state, created_by=owner) for state in ExportState]
    get_news(client)
    # Session, user, and the permissions of the user and of groups.
    with django_assert_num_queries(5) as queries:
        response = client.get(reverse(PROGRESS), {"id": [export.pk for export in exports]})
    assert len(response.json()["exports"]) == 4
    assert not loads_errors(queries[-1]["sql"])
    assert "no-store" in response["Cache-Control"]


def test_others_are_sent_to_the_login(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("ada"))
    response = client.get(reverse(PROGRESS))
    assert response.status_code == 302
    assert response.url.startswith(reverse("admin:login"))


def test_the_news_are_only_to_be_read(page, client):
    page(PROGRESS)
    assert client.post(reverse(PROGRESS)).status_code == 405


@pytest.mark.urls(__name__)
def test_the_news_are_of_the_exports_that_the_admin_shows(page):
    shown, hidden = make_export(name="shown"), make_export(name="hidden")
    response = page(PROGRESS, id=[shown.pk, hidden.pk])
    assert response.json()["exports"].keys() == {shown.pk}

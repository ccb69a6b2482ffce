"""How often a user may start exports, by whichever door."""

from __future__ import annotations

import json

import pytest
from django.core.cache import cache
from django.urls import reverse

from django_infra.exporter.admin.start_rate import check_start_rate
from django_infra.exporter.exceptions import InvalidExport, StartsThrottled
from django_infra.exporter.models import QueryExport
from exporter.admin.rows import LIST, RUN_AGAIN, make_export
from testapp.models import Author

pytestmark = pytest.mark.django_db

TOO_OFTEN = "You start exports too often. Try again in "


@pytest.fixture(autouse=True)
def rate(settings):
    """Let each user start two exports an hour."""
    settings.REST_FRAMEWORK = {"DEFAULT_THROTTLE_RATES": {"exporter-start": "2/hour"}}
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def staff(author_staff):
    return author_staff


def start_by_api(client):
    data = json.dumps({"name": "own-books"})
    return client.post("/api/exports/", data, content_type="application/json").status_code == 201


def start_by_form(client):
    response = client.post(
        reverse("admin:exporter_queryexport_start", args=["own-books"]), {"_start-format": "csv"}
    )
    assert response.status_code == 302 or TOO_OFTEN in response.content.decode()
    return response.status_code == 302


def export_change_list(client):
    Author.objects.create(name="Ada")
    data = {"query": "", "columns": ["id"], "headers": "names", "format": "csv"}
    url = reverse("admin:exporter_queryexport_change_list", args=["testapp", "author"])
    response = client.post(url, data)
    assert response.status_code == 302 or TOO_OFTEN in response.content.decode()
    return response.status_code == 302


@pytest.mark.parametrize("direct_rows", [0, 1000], ids=["started", "run"])
@pytest.mark.parametrize("start", [start_by_api, start_by_form, export_change_list])
def test_every_door_has_the_rate_of_the_other(client, staff, settings, box, start, direct_rows):
    settings.EXPORTER_ADMIN_MAX_DIRECT_ROWS = direct_rows
    assert [start(client), start_by_api(client), start(client)] == [True, True, False]
    assert QueryExport.objects.count() == 2
    client.force_login(type(staff).objects.create_superuser("another"))
    assert start(client)


def test_what_runs_again_is_counted_one_by_one(client, staff, box):
    exports = [make_export(name="own-books", created_by=staff) for _ in range(3)]
    data = {"action": "run_selected_again", "_selected_action": [each.pk for each in exports]}
    response = client.post(reverse(LIST), data, follow=True)
    assert [str(message) for message in response.context["messages"]] == [
        "2 exports were started again. 1 must wait: you start exports too often."
    ]
    response = client.post(reverse(RUN_AGAIN, args=[exports[0].pk]), follow=True)
    assert "1 must wait: you start exports too often." in response.content.decode()


def test_a_project_gets_an_error_of_ours(rf, staff):
    request = rf.get("/")
    request.user = staff
    for _ in range(2):
        check_start_rate(request)
    with pytest.raises(StartsThrottled, match=r"'staff' starts .* allows, '2/hour'\.$") as caught:
        check_start_rate(request)
    assert isinstance(caught.value, InvalidExport)
    assert 3000 < caught.value.wait <= 3600


def test_nobody_is_throttled_unless_the_project_says_so(client, staff, settings, box):
    settings.REST_FRAMEWORK = {}
    assert all(start_by_form(client) for _ in range(4))

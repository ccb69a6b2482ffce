"""The view that docs/api.md shows works as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.urls import include, path
from rest_framework.routers import SimpleRouter

from django_infra.exporter.models import ExportState, QueryExport
from django_infra.exporter.rest.serializers import QueryExportSerializer
from django_infra.exporter.views import QueryExportViewSet
from exporter.rest.rows import get_ids, make_export, make_file
from testapp.models import Book

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

PAGE = Path(__file__).parents[3] / "docs/api.md"
NAMESPACE = {}
(CODE,) = re.findall(r"```python\n(# shop/api.py\n.*?)```", PAGE.read_text(), re.DOTALL)
exec(CODE, NAMESPACE)


class BriefSerializer(QueryExportSerializer):
    class Meta(QueryExportSerializer.Meta):
        fields = ("id", "state")


class BriefViewSet(QueryExportViewSet):
    """A view that is changed in the ways of REST framework."""

    lookup_field = "id"
    lookup_url_kwarg = "export_id"

    def get_serializer_class(self):
        is_start = self.action == "create"
        return super().get_serializer_class() if is_start else BriefSerializer


router = SimpleRouter()
router.register("brief", BriefViewSet, basename="brief")
urlpatterns = [path("mine/", include(NAMESPACE["router"].urls)), path("", include(router.urls))]
LIST = "/mine/order-exports/"


@pytest.fixture
def orders(client, user, declare):
    declare(name="orders", is_listed=False)(lambda params, user: Book.objects.all())
    client.force_authenticate(user)
    export, other = make_file(user), make_file(user)
    export.update(name="orders", params={"since": "2026-01-01"})
    other.update(name="customers")
    return export


def test_its_queryset_serializer_and_urls_count(client, orders):
    assert get_ids(client.get(LIST)) == [orders.pk]
    data = client.get(f"{LIST}{orders.pk}/").json()
    assert data["params"] == {"since": "2026-01-01"}
    assert data["download_url"] == f"http://testserver{LIST}{orders.pk}/download/"
    assert client.get(data["download_url"]).status_code == 200


def test_its_fields_can_be_chosen(client, orders, django_assert_num_queries):
    with django_assert_num_queries(1):
        data = client.get(f"{LIST}{orders.pk}/?fields=params").json()
    assert data == {"params": {"since": "2026-01-01"}}


def test_what_it_leaves_out_is_not_found(client, orders):
    (hidden,) = QueryExport.objects.exclude(pk=orders.pk)
    for method, path_ in [("get", ""), ("get", "download/"), ("post", "cancel/"), ("delete", "")]:
        assert getattr(client, method)(f"{LIST}{hidden.pk}/{path_}").status_code == 404


def test_it_starts_its_own_exports(client, orders, box, declare):
    @declare(name="order-books")
    def order_books(params, user):
        return Book.objects.all()

    assert [each["name"] for each in client.get(f"{LIST}available/").json()] == ["order-books"]
    assert client.post(LIST, {"name": "own-books"}).status_code == 403
    response = client.post(LIST, {"name": "order-books"})
    assert response.status_code == 201
    assert response["Location"].startswith(f"http://testserver{LIST}")
    assert "params" in response.json()


def test_the_ways_of_rest_framework_lead_to_the_same(client, user):
    client.force_authenticate(user)
    export = make_export(user, ExportState.PROCESSING)
    url = f"/brief/{export.pk}/"
    assert client.get(url).json() == {"id": export.pk, "state": "processing"}
    assert client.get(f"{url}?fields=state").json() == {"state": "processing"}
    assert client.get(f"{url}?fields=metadata").status_code == 400
    assert client.get("/brief/").json()["results"] == [client.get(url).json()]
    assert client.post(f"{url}cancel/").json() == {"id": export.pk, "state": "fail"}
    assert client.get(f"{url}download/").status_code == 409
    assert client.get("/brief/x%00/").status_code == 404

from __future__ import annotations

import pytest
from django_filters import rest_framework as filters
from rest_framework.generics import ListAPIView
from rest_framework.serializers import ModelSerializer
from rest_framework.test import APIRequestFactory

from django_infra.api.filters import FilterBackend
from testapp.models import Publisher

pytestmark = pytest.mark.django_db


class PublisherFilterSet(filters.FilterSet):
    name = filters.CharFilter()
    id = filters.NumberFilter()


class PublisherSerializer(ModelSerializer):
    class Meta:
        model = Publisher
        fields = ["name"]


class PublisherView(ListAPIView):
    queryset = Publisher.objects.order_by("id")
    serializer_class = PublisherSerializer
    authentication_classes = ()
    permission_classes = ()
    filter_backends = (FilterBackend,)
    filterset_class = PublisherFilterSet


class UnfilteredView(PublisherView):
    filterset_class = None


@pytest.fixture(autouse=True)
def publishers():
    for name in ("Penguin", "Insel"):
        Publisher.objects.create(name=name)


@pytest.fixture(params=[False, True], ids=["without the app", "with the app"])
def has_django_filters(request, settings):
    if request.param:
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django_filters"]
    return request.param


def get(query="", view=PublisherView, accept="application/json"):
    request = APIRequestFactory().get(f"/{query}", headers={"accept": accept})
    return view.as_view()(request).render()


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["Penguin", "Insel"]),
        ("?name=Insel", ["Insel"]),
        ("?name=", ["Penguin", "Insel"]),
        ("?name=nobody", []),
        ("?other=Insel", ["Penguin", "Insel"]),
    ],
)
def test_filters_by_the_filterset(has_django_filters, query, names):
    assert [row["name"] for row in get(query).data] == names


def test_a_view_without_a_filterset_has_all_rows(has_django_filters):
    assert len(get("?name=Insel", UnfilteredView).data) == 2


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_a_bad_value_is_a_bad_request(has_django_filters, accept):
    response = get("?id=x", accept=accept)
    assert response.status_code == 400
    assert list(response.data) == ["id"]


def test_the_page_has_a_form_only_with_the_app(has_django_filters):
    response = get("?name=Insel", accept="text/html")
    text = response.content.decode()
    assert response.status_code == 200
    assert "Insel" in text
    assert ('<form class="form" action="" method="get">' in text) is has_django_filters
    assert ("filtersModal" in text) is has_django_filters


def test_a_page_without_a_filterset_has_no_form(has_django_filters):
    response = get(view=UnfilteredView, accept="text/html")
    assert response.status_code == 200
    assert 'name="name"' not in response.content.decode()

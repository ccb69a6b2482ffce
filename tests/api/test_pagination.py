from __future__ import annotations

import pytest
from rest_framework.generics import ListAPIView
from rest_framework.pagination import PageNumberPagination
from rest_framework.serializers import ModelSerializer
from rest_framework.test import APIRequestFactory

from django_infra.api.pagination import BoundedPagination
from testapp.models import Publisher

pytestmark = pytest.mark.django_db


class PublisherSerializer(ModelSerializer):
    class Meta:
        model = Publisher
        fields = ["name"]


class PublisherView(ListAPIView):
    queryset = Publisher.objects.order_by("id")
    serializer_class = PublisherSerializer
    authentication_classes = ()
    permission_classes = ()
    pagination_class = BoundedPagination


def make_publishers(count):
    Publisher.objects.bulk_create(Publisher(name=str(number)) for number in range(count))


def get(url="/", **query):
    return PublisherView.as_view()(APIRequestFactory().get(url, query or None))


def get_names(response):
    assert response.status_code == 200
    return [int(row["name"]) for row in response.data["results"]]


@pytest.mark.parametrize(
    ("query", "size"),
    [
        ({}, 50),
        ({"page_size": 1}, 1),
        ({"page_size": 7}, 7),
        ({"page_size": 500}, 500),
        ({"page_size": 501}, 500),
        ({"page_size": 10**9}, 500),
        ({"page_size": "9" * 5000}, 50),
        ({"page_size": "1e9"}, 50),
        ({"page_size": 0}, 50),
        ({"page_size": -1}, 50),
        ({"page_size": ""}, 50),
        ({"page_size": "x\0"}, 50),
        ({"page_size": "٣"}, 3),
        ({"limit": 10**9}, 50),
        ({"offset": 10**9}, 50),
    ],
    ids=lambda value: str(value)[:30],
)
def test_the_page_size_is_bounded(query, size):
    make_publishers(502)
    assert get_names(get(**query)) == list(range(size))


@pytest.mark.parametrize("page_size", [1, 3, 4, 7, 8])
def test_pages_hold_each_row_once_in_both_directions(page_size):
    make_publishers(7)
    response = get(page_size=page_size)
    names = get_names(response)
    while url := response.data["next"]:
        response = get(url)
        names += get_names(response)
    assert names == list(range(7))
    while url := response.data["previous"]:
        response = get(url)
        names = get_names(response) + names
    assert names[:page_size] == list(range(7))[:page_size]


def test_a_page_counts_all_rows():
    make_publishers(51)
    assert get().data["count"] == get(page=2).data["count"] == 51


def test_an_empty_list_is_one_page():
    assert get().data == {"count": 0, "next": None, "previous": None, "results": []}


@pytest.mark.parametrize(
    "page",
    ["0", "-1", "3", "999999999999999999999", "9" * 5000, "1.5", "x", "\0", "😀", "1 OR 1=1", "'"],
    ids=lambda value: ascii(value)[:30],
)
def test_a_page_that_is_not_there_is_not_found(page):
    make_publishers(51)
    assert get(page=page).status_code == 404


@pytest.mark.parametrize("project", [{}, {"PAGE_SIZE": None}, {"PAGE_SIZE": 10**6}], ids=str)
def test_the_projects_page_size_does_not_matter(settings, project):
    settings.REST_FRAMEWORK = project
    make_publishers(51)
    assert len(get_names(get())) == 50


def test_drfs_own_pagination_is_not_changed():
    assert PageNumberPagination.page_size is None
    assert PageNumberPagination.max_page_size is None
    assert PageNumberPagination.page_size_query_param is None

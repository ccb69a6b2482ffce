from __future__ import annotations

import pytest
from django.urls import include, path
from django_filters import rest_framework as filters
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import patched_settings
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from drf_spectacular.validation import validate_schema
from rest_framework import serializers
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import ModelViewSet

from django_infra.api.fields import FieldsBackend, PartialSerializerMixin
from django_infra.api.filters import (
    AnyOfFilter,
    DateTimeRangeFilter,
    FilterBackend,
    IntegerRangeFilter,
    OrderingFilter,
    SearchFilter,
)
from django_infra.api.pagination import BoundedPagination, KeysetPagination
from django_infra.api.schema import FIELDS_PARAMETER
from testapp.models import Book


class BookFilterSet(filters.FilterSet):
    title = filters.CharFilter()
    state = AnyOfFilter(choices=[("new", "New"), ("sold", "Sold")], field_name="title")
    number = AnyOfFilter(choices=[(1, "One"), (2, "Two")], field_name="pages")
    lazy = AnyOfFilter(choices=lambda: [("a", "A")], field_name="title")
    told = AnyOfFilter(choices=[("a", "A")], field_name="title", help_text="Told.")
    pages = IntegerRangeFilter()
    special = extend_schema_field({"type": "boolean"})(AnyOfFilter(choices=[("a", "A")]))
    method = SearchFilter(fields=[], method="search_by_number")
    published_at = DateTimeRangeFilter()
    search = SearchFilter(fields=["title"], max_length=50)
    ordering = OrderingFilter(fields=["title", "pages"])

    def search_by_number(self, queryset, name, value: int):
        return queryset


class BookSerializer(PartialSerializerMixin, serializers.ModelSerializer):
    class Meta:
        model = Book
        fields = ["id", "title", "pages"]


class BookView(ModelViewSet):
    queryset = Book.objects.all()
    serializer_class = BookSerializer
    filter_backends = (FilterBackend, FieldsBackend)
    filterset_class = BookFilterSet
    pagination_class = KeysetPagination


class NumberedBookView(BookView):
    pagination_class = BoundedPagination


@pytest.fixture
def schema(settings):
    settings.REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
    extend = extend_schema_view(retrieve=extend_schema(parameters=[FIELDS_PARAMETER]))
    router = SimpleRouter()
    router.register("books", extend(type("BookView", (BookView,), {})))
    router.register("numbered", NumberedBookView, basename="numbered")
    GENERATOR_STATS.reset()
    schema = SchemaGenerator(patterns=[path("", include(router.urls))]).get_schema(public=True)
    assert not GENERATOR_STATS, (GENERATOR_STATS._warn_cache, GENERATOR_STATS._error_cache)
    validate_schema(schema)
    return schema


def get_parameters(schema, url="/books/"):
    return {each["name"]: each for each in schema["paths"][url]["get"].get("parameters", [])}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("state", {"type": "array", "items": {"type": "string", "enum": ["new", "sold"]}}),
        ("number", {"type": "array", "items": {"type": "integer", "enum": [1, 2]}}),
        ("lazy", {"type": "array", "items": {"type": "string"}}),
        ("pages_min", {"type": "integer", "format": "int64"}),
        ("pages_max", {"type": "integer", "format": "int64"}),
        ("published_at_after", {"type": "string", "format": "date-time"}),
        ("published_at_before", {"type": "string", "format": "date-time"}),
        ("search", {"type": "string", "maxLength": 50}),
        ("title", {"type": "string"}),
        ("special", {"type": "array", "items": {"type": "boolean"}}),
        ("method", {"type": "integer"}),
        ("fields", {"type": "string", "maxLength": 2000}),
        ("cursor", {"type": "string", "maxLength": 2000}),
        ("page_size", {"type": "integer", "minimum": 1, "default": 50}),
        (
            "ordering",
            {
                "type": "array",
                "items": {"type": "string", "enum": ["-pages", "-title", "pages", "title"]},
            },
        ),
    ],
)
def test_parameters_have_their_types(schema, name, expected):
    parameter = get_parameters(schema)[name]
    assert parameter["schema"] == expected
    assert not parameter.get("required")


def test_values_of_any_of_are_repeated_and_an_order_is_a_list(schema):
    parameters = get_parameters(schema)
    assert parameters["state"]["explode"] is True
    assert parameters["ordering"]["explode"] is False
    assert parameters["told"]["description"] == "Told."


def test_there_is_no_other_parameter(schema):
    names = {
        "told",
        "special",
        "method",
        "state",
        "number",
        "lazy",
        "pages_min",
        "pages_max",
        "search",
        "title",
    }
    names |= {"published_at_after", "published_at_before", "ordering", "fields", "page_size"}
    assert set(get_parameters(schema)) == {*names, "cursor"}
    assert set(get_parameters(schema, "/numbered/")) == {*names, "page"}
    assert set(get_parameters(schema, "/books/{id}/")) == {"id", "fields"}
    assert set(get_parameters(schema, "/numbered/{id}/")) == {"id"}


def test_pages_are_lists_with_links(schema):
    page = schema["components"]["schemas"]["PaginatedBookList"]
    assert set(page["properties"]) == {"next", "previous", "results"}


@pytest.mark.parametrize(("is_split", "request_name"), [(True, "BookRequest"), (False, "Book")])
def test_no_field_is_promised(is_split, request_name, request):
    with patched_settings({"COMPONENT_SPLIT_REQUEST": is_split}):
        components = request.getfixturevalue("schema")["components"]["schemas"]
    assert "required" not in components["Book"]
    assert components[request_name].get("required") == (["title"] if is_split else None)

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.models import Count, F
from django.test.utils import isolate_apps
from django_filters import rest_framework as filters
from rest_framework.generics import ListAPIView
from rest_framework.serializers import ModelSerializer
from rest_framework.test import APIRequestFactory

from django_infra.api.filters import (
    AnyOfFilter,
    DateRangeFilter,
    DateTimeRangeFilter,
    DecimalRangeFilter,
    FilterBackend,
    IntegerRangeFilter,
    OrderingFilter,
    SearchFilter,
)
from testapp.models import Author, Book, Everything, Publisher, Translation

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


class Genre(models.TextChoices):
    NOVEL = "novel"
    ESSAY = "essay"


def get_author_names():
    return Author.objects.values_list("name", "id")


class BookFilterSet(filters.FilterSet):
    title = AnyOfFilter(choices=Genre)
    pages_any = AnyOfFilter(choices=[(1, "One"), (2, "Two")], field_name="pages")
    author = AnyOfFilter(choices=get_author_names, field_name="author__name")
    pages = IntegerRangeFilter()
    length = IntegerRangeFilter(field_name="pages", exclude=True)
    published_at = DateTimeRangeFilter()
    search = SearchFilter(fields=["title", "author__name", "editors__name"])
    price = filters.NumberFilter()
    ordering = OrderingFilter(
        fields={
            "title": "title",
            "price": "price",
            "author__born": "born",
            "pk": "key",
            "editor_count": "editors",
            "author": "author",
        }
    )


class BookSerializer(ModelSerializer):
    class Meta:
        model = Book
        fields = ["id"]


class BookView(PublisherView):
    queryset = Book.objects.annotate(editor_count=Count("editors", distinct=True)).order_by("id")
    serializer_class = BookSerializer
    filterset_class = BookFilterSet


@pytest.fixture
def books():
    """Make four books, whose indexes the tests name."""
    ann = Author.objects.create(name="Ann Lee", born="1950-01-01")
    bob = Author.objects.create(name="Bob_50%")
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    rows = [
        ("novel", ann, 1, "9.50", noon),
        ("essay", bob, 2, None, noon + timedelta(microseconds=1)),
        ("Blue Whale", ann, 300, "1.00", None),
        ("novel", bob, -5, None, noon - timedelta(hours=1)),
    ]
    books = [
        Book.objects.create(title=title, author=author, pages=pages, price=price, published_at=at)
        for title, author, pages, price, at in rows
    ]
    books[0].editors.set([ann, bob])
    books[2].editors.set([bob])
    return [book.id for book in books]


def find(books, view=BookView, **query):
    """Return the indexes of the books that a query gives."""
    response = view.as_view()(APIRequestFactory().get("/", query))
    assert response.status_code == 200, response.data
    return [books.index(row["id"]) for row in response.data]


def get_faults(view=BookView, **query):
    response = view.as_view()(APIRequestFactory().get("/", query)).render()
    assert response.status_code == 400
    return response.data


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"title": "novel"}, [0, 3]),
        ({"title": ["novel", "essay"]}, [0, 1, 3]),
        ({"title": ["novel", "novel", ""]}, [0, 3]),
        ({"title": ["novel"] * 900}, [0, 3]),
        ({"title": ""}, [0, 1, 2, 3]),
        ({"pages_any": ["1", "2"]}, [0, 1]),
        ({"author": "Ann Lee"}, [0, 2]),
        ({"pages_min": "2"}, [1, 2]),
        ({"pages_max": "2"}, [0, 1, 3]),
        ({"pages_min": "1", "pages_max": "2"}, [0, 1]),
        ({"pages_min": "2", "pages_max": "1"}, []),
        ({"pages_min": " +2 ", "pages_max": ""}, [1, 2]),
        ({"pages_min": "-5", "pages_max": "0"}, [3]),
        ({"pages_min": str(2**63 - 1)}, []),
        ({"pages_max": str(2**63 - 1)}, [0, 1, 2, 3]),
        ({"pages_min": str(-(2**63))}, [0, 1, 2, 3]),
        ({"length_min": "2"}, [0, 3]),
        ({"published_at_after": "2026-03-01T12:00:00Z"}, [0, 1]),
        ({"published_at_before": "2026-03-01T12:00:00Z"}, [0, 3]),
        ({"published_at_after": "2026-03-01T12:00:00.000001Z"}, [1]),
        ({"published_at_after": "2026-03-01 12:00"}, [0, 1]),
        ({"published_at_after": "2026-03-01t13:00:00+01:00"}, [0, 1]),
        ({"published_at_after": "2026-03-01T13:00:00 01:00"}, [0, 1]),
        ({"published_at_after": "2026-03-01T07:00:00-0500"}, [0, 1]),
        ({"published_at_after": "0001-01-02T00:00:00Z"}, [0, 1, 3]),
        ({"published_at_before": "9999-12-30T23:59:59.999999Z"}, [0, 1, 3]),
        (
            {
                "published_at_after": "2026-03-01T11:00Z",
                "published_at_before": "2026-03-01T12:00Z",
            },
            [0, 3],
        ),
        ({"search": "whale"}, [2]),
        ({"search": " BLUE\twhale blue "}, [2]),
        ({"search": "blue ann"}, [2]),
        ({"search": "blue novel"}, []),
        ({"search": "bob"}, [0, 1, 2, 3]),
        ({"search": "ann bob"}, [0, 2]),
        ({"search": "_50%"}, [0, 1, 2, 3]),
        ({"search": "l_e"}, []),
        ({"search": "%"}, [0, 1, 2, 3]),
        ({"search": "\\"}, []),
        ({"search": "' OR 1=1 --"}, []),
        ({"search": " "}, [0, 1, 2, 3]),
        ({"price": "9.5"}, [0]),
        ({"ordering": "title,key"}, [2, 1, 0, 3]),
        ({"ordering": "-title"}, [3, 0, 1, 2]),
        ({"ordering": ["-title", "key"]}, [0, 3, 1, 2]),
        ({"ordering": "price"}, [2, 0, 1, 3]),
        ({"ordering": "-price"}, [0, 2, 3, 1]),
        ({"ordering": "born,-key"}, [2, 0, 3, 1]),
        ({"ordering": "-born"}, [2, 0, 3, 1]),
        ({"ordering": "-editors"}, [0, 2, 3, 1]),
        ({"ordering": "author"}, [0, 2, 1, 3]),
        ({"ordering": "key"}, [0, 1, 2, 3]),
        ({"ordering": "-key,key,-key"}, [3, 2, 1, 0]),
        ({"ordering": ",".join(["price"] * 5000)}, [2, 0, 1, 3]),
        ({"ordering": ""}, [0, 1, 2, 3]),
        ({"ordering": " price , "}, [2, 0, 1, 3]),
        ({"nothing": "x", "pages": "7", "published_at": "x"}, [0, 1, 2, 3]),
    ],
    ids=lambda value: str(value)[:60],
)
def test_finds(books, query, expected):
    order = expected if "ordering" in query else sorted(expected)
    assert find(books, **query) == order


@pytest.mark.parametrize(
    ("query", "name", "fault"),
    [
        ({"title": "poem"}, "title", "'poem' is not a choice. Choose from: novel, essay."),
        ({"title": ["novel", "x" * 500]}, "title", f"'{'x' * 99}… is not a choice."),
        ({"author": "Zoe"}, "author", "Choose from: "),
        ({"pages_any": "1.0"}, "pages_any", "'1.0' is not a choice. Choose from: 1, 2."),
        ({"title": "null"}, "title", "'null' is not a choice."),
        ({"pages_min": "1.0"}, "pages_min", "'1.0' is not a whole number"),
        ({"pages_max": "1e999999999"}, "pages_max", "not a whole number"),
        ({"pages_max": "9" * 5000}, "pages_max", "not a whole number"),
        ({"pages_min": "1_000"}, "pages_min", "not a whole number"),
        ({"pages_min": "٣"}, "pages_min", "not a whole number"),
        ({"pages_min": "NaN"}, "pages_min", "not a whole number"),
        ({"pages_min": str(2**63)}, "pages_min", "less than or equal to 9223372036854775807"),
        ({"pages_min": str(-(2**63) - 1)}, "pages_min", "greater than or equal to -9223372036"),
        ({"published_at_after": "2026-03-01"}, "published_at_after", "is not a time such as"),
        ({"published_at_after": "0001-01-01T00:00:00+14:00"}, "published_at_after", "not a time"),
        ({"published_at_before": "9999-12-31T23:59:59-12:00"}, "published_at_before", "not a time"),
        ({"published_at_before": "9999-12-31T23:59:59Z"}, "published_at_before", "not a time"),
        ({"published_at_before": "10000-01-01T00:00:00Z"}, "published_at_before", "not a time"),
        ({"published_at_before": "2026-02-30T00:00:00Z"}, "published_at_before", "not a time"),
        ({"published_at_before": "2026-03-01T00:00:00+25:00"}, "published_at_before", "not a time"),
        ({"published_at_before": "2026-03-01T00:00+1"}, "published_at_before", "not a time"),
        ({"published_at_before": "٢٠٢٦-03-01T00:00Z"}, "published_at_before", "not a time"),
        ({"search": "x" * 201}, "search", "at most 200 characters"),
        ({"search": "a\0b"}, "search", "Null characters"),
        ({"search": " ".join("abcdefghijklmnopqrstu")}, "search", "at most 20 words"),
        ({"ordering": "name"}, "ordering", "'name' is not a choice. Choose from: title, -title"),
        ({"ordering": "title,?"}, "ordering", "'?' is not a choice."),
        ({"ordering": "--title"}, "ordering", "'--title' is not a choice."),
        ({"ordering": "author__born"}, "ordering", "'author__born' is not a choice."),
        ({"price": "x"}, "price", "Enter a number."),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_refuses(books, query, name, fault):
    faults = get_faults(**query)
    assert list(faults) == [name]
    assert fault in faults[name][0]


def test_both_bounds_are_told_what_is_wrong_with_them():
    faults = get_faults(pages_min="x", pages_max="y", title="z")
    assert set(faults) == {"pages_min", "pages_max", "title"}


@pytest.mark.parametrize(
    "names",
    [
        ["search"],
        ["title", "pages_any", "pages_min", "pages_max", "ordering"],
        ["published_at_after", "published_at_before"],
    ],
    ids=" ".join,
)
def test_nothing_naughty_is_a_server_error(books, naughty_strings, names):
    view = BookView.as_view()
    for text in naughty_strings:
        response = view(APIRequestFactory().get("/", dict.fromkeys(names, text))).render()
        assert response.status_code in (200, 400), ascii(text)
        assert response.status_code == 200 or set(response.data) <= {*names}


def test_a_time_without_an_offset_is_in_the_current_time_zone(books, settings):
    settings.TIME_ZONE = "Asia/Tokyo"
    assert find(books, published_at_after="2026-03-01T21:00:00") == [0, 1]
    faults = get_faults(published_at_after="2026-03-01T21:00:00+0")
    assert list(faults) == ["published_at_after"]


def test_a_time_that_clocks_skip_is_refused(books, settings):
    settings.TIME_ZONE = "Europe/Berlin"
    assert (
        "may be ambiguous"
        in get_faults(published_at_after="2026-03-29T02:30")["published_at_after"][0]
    )


def test_a_row_that_is_found_through_many_is_found_once(books):
    view = type("View", (BookView,), {"queryset": Book.objects.order_by("id")})
    assert find(books, view, search="b") == [0, 1, 2, 3]
    assert find(books, view, search="n") == [0, 2, 3]


def get_sql(books, captured, **query):
    with captured as queries:
        find(books, **query)
    assert len(queries) == 1
    return queries[0]["sql"].upper()


def test_any_of_is_one_in(books, django_assert_num_queries):
    sql = get_sql(books, django_assert_num_queries(1), title=["novel", "essay"])
    assert sql.count(" IN (") == 1
    assert "SELECT DISTINCT" not in sql
    assert " OR " not in sql


def test_only_what_can_be_null_says_where_nulls_go(books, django_assert_num_queries):
    """On MySQL that is a column of its own, which no index has."""
    sql = get_sql(books, django_assert_num_queries(1), ordering="title,price")
    order = sql[sql.rindex("ORDER BY") :]
    assert order.count("NULL") == 1
    assert "NULL" in order[order.index("PRICE") :]


def test_choices_are_asked_for_once(books, django_assert_num_queries):
    with django_assert_num_queries(2):
        assert find(books, author=["Ann Lee", "Bob_50%"]) == [0, 1, 2, 3]


def test_a_required_filter_is_required(books):
    class RequiredFilterSet(filters.FilterSet):
        title = AnyOfFilter(choices=Genre, required=True)
        pages = IntegerRangeFilter(required=True)
        search = SearchFilter(fields=["title"], required=True)
        ordering = OrderingFilter(fields=["title"], required=True)

    view = type("View", (BookView,), {"filterset_class": RequiredFilterSet})
    assert set(get_faults(view)) == {"title", "pages", "search", "ordering"}
    query = {"title": "novel", "pages_min": "0", "search": "o", "ordering": "title"}
    assert find(books, view, **query) == [0]


def test_the_limits_of_a_search_can_be_chosen(books):
    class ShortFilterSet(filters.FilterSet):
        search = SearchFilter(fields=["title"], max_length=9, max_words=2)

    view = type("View", (BookView,), {"filterset_class": ShortFilterSet})
    assert find(books, view, search="blue whal") == [2]
    assert "2 words" in get_faults(view, search="a b c")["search"][0]
    assert "9 characters" in get_faults(view, search="x" * 10)["search"][0]


def test_long_lists_of_choices_are_cut():
    class ManyFilterSet(filters.FilterSet):
        pages = AnyOfFilter(choices=[(number, number) for number in range(1000)])

    view = type("View", (BookView,), {"filterset_class": ManyFilterSet})
    assert get_faults(view, pages="x")["pages"][0].endswith("48, 49, ….")


@pytest.mark.parametrize("fields", [["number"], [("number", "n")], {"number": "n"}])
def test_fields_are_declared_as_in_django_filter(fields):
    filter_ = OrderingFilter(fields=fields)
    assert filter_.get_ordering_value("-n" if fields != ["number"] else "-number") == "-number"


def test_a_key_of_parts_decides_between_equals():
    author = Author.objects.create(name="Ann")
    book = Book.objects.create(title="x", author=author)
    for language in ("de", "en", "fr"):
        Translation.objects.create(book=book, language=language, title="same")

    class TranslationFilterSet(filters.FilterSet):
        ordering = OrderingFilter(fields=["title", "language"])

    filterset = TranslationFilterSet({"ordering": "-title"}, Translation.objects.all())
    assert [row.language for row in filterset.qs] == ["fr", "en", "de"]
    order = [each.expression.name for each in filterset.qs.query.order_by]
    assert order == ["title", "book_id", "language"]
    filterset = TranslationFilterSet({"ordering": "language"}, Translation.objects.all())
    order = [each.expression.name for each in filterset.qs.query.order_by]
    assert order == ["language", "book_id"]


@isolate_apps("testapp")
def test_a_generated_column_can_be_null():
    class Sum(models.Model):
        number = models.IntegerField()
        total = models.GeneratedField(
            expression=F("number") + 1, output_field=models.IntegerField(), db_persist=True
        )

        class Meta:
            app_label = "testapp"

        def __str__(self):
            return str(self.pk)

    class SumFilterSet(filters.FilterSet):
        ordering = OrderingFilter(fields=["number", "total"])

    rows = SumFilterSet({"ordering": "number,total"}, Sum.objects.all()).qs
    assert [bool(each.nulls_last) for each in rows.query.order_by] == [False, True, False]


@pytest.mark.parametrize("direction", ["", "-"])
@pytest.mark.parametrize(
    "name", ["big", "boolean", "char", "date", "datetime", "decimal", "floating", "time", "uuid"]
)
def test_nulls_are_last_in_both_directions(direction, name):
    values = {
        "big": 1,
        "boolean": False,
        "char": "",
        "date": "2026-03-01",
        "datetime": datetime(2026, 3, 1, tzinfo=UTC),
        "decimal": -1,
        "floating": -1.5,
        "time": "00:00",
        "uuid": "00000000-0000-0000-0000-000000000000",
    }
    Everything.objects.create()
    Everything.objects.create(**values)
    Everything.objects.create()

    class EverythingFilterSet(filters.FilterSet):
        ordering = OrderingFilter(fields=list(values))

    rows = EverythingFilterSet({"ordering": direction + name}, Everything.objects.all()).qs
    assert [getattr(row, name) is None for row in rows] == [False, True, True]


def test_a_random_order_is_a_mistake_of_the_developer():
    class RandomFilterSet(filters.FilterSet):
        ordering = OrderingFilter(fields=["?"])

    with pytest.raises(ImproperlyConfigured, match="random order"):
        RandomFilterSet({"ordering": "?"}, Book.objects.all()).qs  # noqa: B018


def test_the_name_of_a_relation_means_the_order_of_its_model(books, monkeypatch):
    monkeypatch.setattr(Author._meta, "ordering", ["-name", F("born").desc()])
    assert find(books, ordering="author") == [3, 1, 2, 0]
    assert find(books, ordering="-author") == [2, 0, 3, 1]


# Ranges of numbers and days


class MeasureFilterSet(filters.FilterSet):
    decimal = DecimalRangeFilter()
    floating = DecimalRangeFilter()
    date = DateRangeFilter()


class MeasureSerializer(ModelSerializer):
    class Meta:
        model = Everything
        fields = ["integer"]


class MeasureView(PublisherView):
    queryset = Everything.objects.order_by("id")
    serializer_class = MeasureSerializer
    filterset_class = MeasureFilterSet


@pytest.fixture
def measures():
    for number, (amount, day) in enumerate(
        [("0.1", "0001-01-01"), ("9.95", "2026-02-28"), ("20", "9999-12-31")]
    ):
        Everything.objects.create(
            integer=number, decimal=Decimal(amount), floating=float(amount), date=day
        )
    Everything.objects.create(integer=3)


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", [0, 1, 2, 3]),
        ("decimal_min=9.95", [1, 2]),
        ("decimal_max=9.95", [0, 1]),
        ("decimal_min=0.2&decimal_max=9.94", []),
        ("decimal_min=-1", [0, 1, 2]),
        ("decimal_max=" + "9" * 30, [0, 1, 2]),
        ("decimal_min=0." + "0" * 29 + "1", [0, 1, 2]),
        ("floating_min=9.95&floating_max=9.95", [1]),
        ("date_after=2026-02-28", [1, 2]),
        ("date_before=2026-02-28", [0, 1]),
        ("date_before=0001-01-01", [0]),
        ("date_after=9999-12-31", [2]),
        ("date_after=&decimal_min=", [0, 1, 2, 3]),
    ],
)
def test_numbers_and_days_have_ranges(measures, query, numbers):
    rows = get(f"?{query}", MeasureView).data
    assert [row["integer"] for row in rows] == numbers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("decimal_min", value) for value in ["x", "1e5", "NaN", "1,5", "٣", "9" * 31, "."]),
        *(("date_after", value) for value in ["x", "2026-02-30", "10000-01-01", "2026-2-1", "0"]),
        ("date_before", "2026-02-28T12:00"),
        ("floating_max", "1e999999999"),
    ],
)
def test_what_is_no_number_or_day_is_told_by_its_bound(measures, name, value):
    response = get(f"?{name}={value}", MeasureView)
    assert response.status_code == 400
    assert list(response.data) == [name]

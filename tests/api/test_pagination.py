from __future__ import annotations

import json
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Count, Exists, F, OuterRef, Q, Value, Window
from django.db.models.functions import Lower, Random, Reverse, RowNumber
from rest_framework.generics import ListAPIView
from rest_framework.pagination import PageNumberPagination
from rest_framework.serializers import ModelSerializer
from rest_framework.test import APIRequestFactory

from django_infra.api.pagination import BoundedPagination, KeysetPagination
from generated import given, st
from testapp.models import Author, Book, Comic, Everything, Publisher, Translation

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
        ({"page_size": "9" * 5000}, 500),
        ({"page_size": "0" * 5000 + "7"}, 7),
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


@pytest.mark.parametrize(
    "page_size",
    ["0", "-1", "", " ", "1.5", "1e9", "x", "x\0", "٣", "+1", "1_0", "0" * 5000, "NaN", "😀"],
    ids=lambda value: ascii(value)[:30],
)
@pytest.mark.parametrize("pagination_class", [BoundedPagination, KeysetPagination])
def test_a_page_size_that_is_none_is_a_bad_request(pagination_class, page_size):
    view = PublisherView.as_view(pagination_class=pagination_class)
    response = view(APIRequestFactory().get("/", {"page_size": page_size}))
    assert response.status_code == 400
    assert "is not a positive whole number" in response.data["page_size"][0]


# Pages by position


class EverythingSerializer(ModelSerializer):
    class Meta:
        model = Everything
        fields = ["id"]


class EverythingView(ListAPIView):
    queryset = Everything.objects.all()
    serializer_class = EverythingSerializer
    authentication_classes = ()
    permission_classes = ()
    pagination_class = KeysetPagination


def fetch(url, queryset, *, status=200, **query):
    view = EverythingView.as_view(queryset=queryset)
    response = view(APIRequestFactory().get(url, query or None)).render()
    assert response.status_code == status, response.data
    return json.loads(response.content)


def get_ids(page):
    return [row["id"] for row in page["results"]]


def walk(queryset, page_size=2, between=lambda: None):
    """Follow the links to the end, and back, and return what both ways show."""
    page = fetch("/", queryset, page_size=page_size)
    forth = get_ids(page)
    while url := page["next"]:
        between()
        page = fetch(url, queryset)
        forth += get_ids(page)
    back = get_ids(page)
    while url := page["previous"]:
        page = fetch(url, queryset)
        back = get_ids(page) + back
    return forth, back


def get_cursor(url):
    return parse_qs(urlsplit(url).query)["cursor"][0]


INSTANT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
VALUES = {
    "big": [2**63 - 1, -(2**63), 0],
    "boolean": [True, False],
    "char": ["", "a", "A", "ä", "é", "e\u0301", "😀", '\u2028 "\\/', "x" * 1000, "😀" * 1000],
    "date": [date.min, date.max, date(2026, 3, 1)],
    "datetime": [INSTANT, INSTANT + timedelta(microseconds=1), INSTANT.replace(microsecond=0)],
    "decimal": [
        Decimal("0.1"),
        Decimal("-1e-10"),
        Decimal("1234567890123456789.0123456789"),
    ],
    "duration": [timedelta(microseconds=1), timedelta(days=-3), timedelta(hours=30)],
    "floating": [0.1, 1 / 3, 1e300, -5e-324, 2.0**53 + 2],
    "integer": [1, -1],
    "ip": ["10.0.0.1", "9.0.0.1", "::1"],
    "text": ["", "\t", "z" * 5000, "z" * 5001],
    "time": [time(0), time(23, 59, 59, 999999)],
    "uuid": [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.UUID(int=1 << 127)],
}


@pytest.mark.parametrize("direction", ["", "-"])
@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("page_size", [1, 3])
def test_positions_of_every_type_come_back(name, direction, page_size):
    for value in [*VALUES[name], None, *VALUES[name], None]:
        Everything.objects.create(**{name: value})
    queryset = Everything.objects.order_by(direction + name)
    forth, back = walk(queryset, page_size)
    assert forth == back
    assert sorted(forth) == sorted(queryset.values_list("id", flat=True))
    values = [getattr(Everything.objects.get(id=id), name) for id in forth]
    assert values[-2:] == [None, None]


def test_a_cursor_has_a_bounded_length():
    """What has no room in it is read from the row where it stands."""
    for seed in range(4):
        text = "".join(chr(0x4E00 + n * n * n % 9973) for n in range(5000 + seed))
        Everything.objects.create(text=text, char=text[600:1500])
    queryset = Everything.objects.order_by("text", "char", Reverse("text"))
    forth, back = walk(queryset, 1)
    assert forth == back
    assert len(set(forth)) == 4
    page = fetch("/", queryset, page_size=1)
    assert len(get_cursor(page["next"])) <= 2000
    Everything.objects.filter(id=get_ids(page)[0]).delete()
    assert "stands at a row that is gone" in fetch(page["next"], queryset, status=400)["cursor"][0]


COLUMNS = ["integer", "-integer", "char", "-char", "-boolean", "datetime", "id", "-pk"]


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from([None, 0, 1]),
            st.sampled_from([None, "a", "b"]),
            st.sampled_from([None, True, False]),
            st.sampled_from([None, INSTANT]),
        ),
        max_size=12,
    ),
    order=st.lists(st.sampled_from(COLUMNS), max_size=3, unique_by=lambda name: name.strip("-")),
    nulls_first=st.booleans(),
    page_size=st.integers(1, 5),
    doomed=st.lists(st.integers(0, 11)),
)
def test_pages_are_the_list_in_pieces(db, rows, order, nulls_first, page_size, doomed):
    """Rows that go are shown at most once, and others exactly once and in order."""
    Everything.objects.all().delete()
    names = ("integer", "char", "boolean", "datetime")
    Everything.objects.bulk_create(Everything(**dict(zip(names, row, strict=True))) for row in rows)
    expressions = [
        order_by(name, nulls_first) if name.strip("-") in names else name for name in order
    ]
    queryset = Everything.objects.order_by(*expressions)
    wanted = sort(list(Everything.objects.all()), order, nulls_first)
    gone = set()

    def delete():
        if doomed:
            index = doomed.pop()
            gone.update(wanted[index : index + 1])
            Everything.objects.filter(id__in=wanted[index : index + 1]).delete()
            Everything.objects.filter(id__in=wanted[index + 1 : index + 2]).update(big=index)

    forth, back = walk(queryset, page_size, delete)
    assert [id for id in forth if id not in gone] == [id for id in wanted if id not in gone]
    assert back == [id for id in wanted if id not in gone]
    assert len(set(forth)) == len(forth)


def order_by(name, nulls_first):
    order = F(name.strip("-"))
    nulls = {"nulls_first": True} if nulls_first else {"nulls_last": True}
    return order.desc(**nulls) if name.startswith("-") else order.asc(**nulls)


def sort(rows, order, nulls_first):
    """Sort in Python, from the last column to the first."""
    order = order or ["-pk"]
    for name in reversed([*order, "-pk" if order[-1].startswith("-") else "pk"]):
        column = name.strip("-")
        known = [row for row in rows if getattr(row, column) is not None]
        known.sort(key=lambda row: getattr(row, column), reverse=name.startswith("-"))
        unknown = [row for row in rows if getattr(row, column) is None]
        rows = unknown + known if nulls_first else known + unknown
    return [row.pk for row in rows]


@pytest.fixture
def books():
    publishers = [Publisher.objects.create(name=name) for name in "bab"]
    authors = [
        Author.objects.create(name=name, publisher=publisher)
        for name in ("Ann", "bob")
        for publisher in (*publishers, None)
    ]
    for number in range(24):
        book = Book.objects.create(
            title="xyz"[number % 3] * (number % 5),
            author=authors[number % 7],
            pages=number % 2,
            price=number % 4 or None,
        )
        book.editors.set(authors[: number % 3])


IS_PRICED = Exists(Book.objects.filter(pk=OuterRef("pk"), price__gt=1))
QUERYSETS = {
    "related": lambda: Book.objects.order_by("author__publisher__name", "-author__name"),
    "relation": lambda: Book.objects.order_by("-author"),
    "key": lambda: Book.objects.order_by("author_id", "title"),
    "expression": lambda: Book.objects.order_by(Lower("title").desc(), F("price")),
    "nulls first": lambda: Book.objects.order_by(F("price").desc(nulls_first=True), "pages"),
    "annotation": lambda: Book.objects.annotate(sum=F("pages") + F("price")).order_by("-sum"),
    "alias": lambda: Book.objects.alias(low=Lower("author__name")).order_by("low", "-price"),
    "aggregate": lambda: Book.objects.annotate(count=Count("editors")).order_by("-count", "title"),
    "aggregate alone": lambda: Book.objects.annotate(count=Count("editors")),
    "subquery": lambda: Book.objects.order_by(IS_PRICED.desc(), "-title"),
    "condition": lambda: Book.objects.annotate(cheap=Q(price__lt=2)).order_by("cheap"),
    "distinct": lambda: Book.objects.filter(editors__isnull=False).distinct().order_by("title"),
    "distinct related": lambda: Book.objects.distinct().order_by("author__name", "title"),
    "reverse": lambda: Book.objects.order_by("price", F("title").asc(nulls_last=True)).reverse(),
    "no order": lambda: Book.objects.order_by(),
    "default": Book.objects.all,
    "only": lambda: Book.objects.order_by("-price").only("title"),
    "joined": lambda: Book.objects.order_by("pages").select_related("author"),
    "year": lambda: Book.objects.order_by("published_at__year", "pages"),
    "constant": lambda: Book.objects.order_by(Value(1).asc()),
}


@pytest.mark.parametrize("name", QUERYSETS)
def test_querysets_are_paged_in_their_order(books, name):
    queryset = QUERYSETS[name]()
    forth, back = walk(queryset, 5)
    assert forth == back
    assert sorted(forth) == sorted(row.id for row in queryset)
    assert get_ids(fetch("/", queryset)) == forth


@pytest.mark.parametrize("name", [name for name in QUERYSETS if name not in ("year", "constant")])
def test_a_page_is_one_query(books, django_assert_num_queries, name):
    url = fetch("/", QUERYSETS[name](), page_size=5)["next"]
    for _ in range(2):
        with django_assert_num_queries(1) as queries:
            page = fetch(url, QUERYSETS[name]())
        sql = queries[0]["sql"].upper()
        assert " OFFSET " not in sql
        assert "LIMIT 6" in sql
        url = page["previous"] or page["next"]


def test_a_reversed_order_is_paged_in_reverse():
    """Nulls change sides too, as Django has it for expressions."""
    make_everything(3)
    last = Everything.objects.create()
    forth, back = walk(Everything.objects.order_by("integer").reverse(), 1)
    assert forth == back == [last.id, last.id - 1, last.id - 2, last.id - 3]


@pytest.mark.parametrize(
    ("ordering", "expected"),
    [(["-name"], "cba"), ([F("name").desc()], "cba"), ([Lower("name")], "abc"), ([], "abc")],
)
def test_the_order_of_the_model_counts(monkeypatch, ordering, expected):
    for name in "cab" if ordering else "cba":
        Publisher.objects.create(name=name)
    monkeypatch.setattr(Publisher._meta, "ordering", ordering)
    names = dict(Publisher.objects.values_list("id", "name"))
    forth, back = walk(Publisher.objects.all(), 1)
    assert "".join(names[id] for id in forth) == expected
    assert forth == back


@pytest.mark.parametrize("direction", ["", "-"])
def test_a_relation_has_the_order_of_its_model(books, monkeypatch, direction):
    ordering = ["-publisher", Lower("name"), F("pk").desc()]
    monkeypatch.setattr(Author._meta, "ordering", ordering)
    monkeypatch.setattr(Publisher._meta, "ordering", ["name"])
    forth, back = walk(Book.objects.order_by(f"{direction}author"), 4)
    assert forth == back
    assert len(forth) == 24
    books = [Book.objects.select_related("author__publisher").get(id=id) for id in forth]
    names = [book.author.publisher and book.author.publisher.name for book in books]
    known = [name for name in names if name]
    assert known == sorted(known, reverse=not direction)
    assert names[len(known) :] == [None] * (24 - len(known))


def test_a_child_of_a_model_is_paged():
    author = Author.objects.create(name="Ann")
    for number in range(5):
        Comic.objects.create(title="x", author=author, artist=str(number % 2))
    queryset = Comic.objects.order_by("title", "-artist")
    forth, back = walk(queryset, 2)
    assert forth == back
    assert len(set(forth)) == 5


@pytest.mark.parametrize("order", [[], ["title"], ["-language"], ["pk"], ["-pk"]], ids=str)
def test_a_key_of_parts_is_a_position(order):
    book = Book.objects.create(title="x", author=Author.objects.create(name="Ann"))
    for language in ("de", "en", "fr"):
        Translation.objects.create(book=book, language=language, title="same")

    class TranslationSerializer(ModelSerializer):
        class Meta:
            model = Translation
            fields = ["language"]

    view = EverythingView.as_view(
        queryset=Translation.objects.order_by(*order), serializer_class=TranslationSerializer
    )
    languages, url = [], "/?page_size=1"
    while url:
        response = view(APIRequestFactory().get(url))
        languages += [row["language"] for row in response.data["results"]]
        url = response.data["next"]
    is_forward = order in (["title"], ["pk"])
    assert languages == (["de", "en", "fr"] if is_forward else ["fr", "en", "de"])


def test_rows_that_come_and_go_move_no_others():
    """Thousands share a time, and those that are on the page go while it is read."""
    Everything.objects.bulk_create(Everything(datetime=INSTANT) for _ in range(3000))
    queryset = Everything.objects.order_by("-datetime")
    old = set(queryset.values_list("id", flat=True))
    page = fetch("/", queryset, page_size=500)
    seen = get_ids(page)
    while url := page["next"]:
        Everything.objects.filter(id__in=get_ids(page)[100:]).delete()
        Everything.objects.bulk_create(Everything(datetime=INSTANT) for _ in range(50))
        page = fetch(url, queryset)
        seen += get_ids(page)
    assert len(seen) == len(set(seen)) == 3000
    assert set(seen) == old


def make_everything(count):
    for number in range(count):
        Everything.objects.create(integer=number)


def test_the_page_before_what_has_gone_is_the_last():
    make_everything(4)
    queryset = Everything.objects.order_by("integer")
    url = fetch("/", queryset, page_size=2)["next"]
    Everything.objects.filter(integer__gt=1).delete()
    page = fetch(url, queryset)
    assert (get_ids(page), page["next"]) == ([], None)
    page = fetch(page["previous"], queryset)
    assert get_ids(page) == list(queryset.values_list("id", flat=True))
    assert (page["next"], page["previous"]) == (None, None)


def test_the_page_after_what_has_gone_is_the_first():
    make_everything(4)
    queryset = Everything.objects.order_by("integer")
    page = fetch(fetch("/", queryset, page_size=2)["next"], queryset)
    Everything.objects.filter(integer__lt=2).delete()
    page = fetch(page["previous"], queryset)
    assert (get_ids(page), page["previous"]) == ([], None)
    assert "cursor" not in page["next"]
    assert len(get_ids(fetch(page["next"], queryset))) == 2


def test_an_empty_list_has_no_links():
    expected = {"next": None, "previous": None, "results": []}
    assert fetch("/", Everything.objects.all()) == expected


def test_links_keep_the_other_parameters():
    make_everything(2)
    url = fetch("/", Everything.objects.all(), page_size=1, other="a b&c")["next"]
    query = parse_qs(urlsplit(url).query)
    assert query["other"] == ["a b&c"]
    assert query["page_size"] == ["1"]
    assert url.startswith("http://testserver/?")


def test_a_cursor_shows_no_rows_that_the_view_does_not():
    make_everything(6)
    url = fetch("/", Everything.objects.order_by("integer"), page_size=2)["next"]
    page = fetch(url, Everything.objects.filter(integer__in=[0, 1, 4]).order_by("integer"))
    assert len(get_ids(page)) == 1


def get_fault(cursor, queryset):
    return fetch("/", queryset, status=400, cursor=cursor)["cursor"][0]


def test_a_cursor_that_is_changed_is_refused():
    make_everything(3)
    queryset = Everything.objects.order_by("integer")
    cursor = get_cursor(fetch("/", queryset, page_size=1)["next"])
    for text in (cursor[:-1], cursor[1:], cursor[:9], "x" + cursor, cursor + "x", "~".join("ab")):
        assert "is not a cursor of this list in this order" in get_fault(text, queryset)


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "~", "~~", "x~", "~x", "\0", "é~é", "cD0y", "9" * 100_000, ".eJwDAAAAAAE~x"],
    ids=lambda value: ascii(value)[:20],
)
def test_a_cursor_of_no_list_is_refused(cursor):
    assert "is not a cursor" in get_fault(cursor, Everything.objects.all())


def test_no_naughty_string_is_a_cursor(naughty_strings):
    for text in naughty_strings:
        get_fault(text, Everything.objects.all())


@pytest.mark.parametrize(
    "other",
    [
        Everything.objects.order_by("-integer"),
        Everything.objects.order_by("big"),
        Everything.objects.order_by("integer", "big"),
        Everything.objects.order_by(F("integer").asc(nulls_first=True)),
        Everything.objects.order_by(F("integer") + 1),
        Book.objects.order_by("pages"),
    ],
    ids=["direction", "column", "columns", "nulls", "expression", "model"],
)
def test_a_cursor_of_another_order_is_refused(other):
    make_everything(3)
    cursor = get_cursor(fetch("/", Everything.objects.order_by("integer"), page_size=1)["next"])
    assert "is not a cursor of this list in this order" in get_fault(cursor, other)


def test_a_cursor_of_another_project_is_refused(settings):
    make_everything(3)
    url = fetch("/", Everything.objects.all(), page_size=1)["next"]
    settings.SECRET_KEY = "other"
    assert "is not a cursor" in get_fault(get_cursor(url), Everything.objects.all())
    settings.SECRET_KEY_FALLBACKS = ["tests"]
    fetch(url, Everything.objects.all())


def test_a_cursor_from_before_a_column_changed_its_type_is_refused():
    make_everything(3)
    old = Everything.objects.annotate(size=F("integer")).order_by("size")
    new = Everything.objects.annotate(size=F("char")).order_by("size")
    cursor = get_cursor(fetch("/", old, page_size=1)["next"])
    assert "is not a cursor" in get_fault(cursor, new)


@pytest.mark.parametrize(
    ("queryset", "fault"),
    [
        (Everything.objects.order_by("?"), "random order"),
        (Everything.objects.order_by(Random()), "random order"),
        (Everything.objects.order_by("integer", -Random()), "random order"),
        (Everything.objects.values("id"), r"values\(\)"),
        (Everything.objects.all()[:5], "a slice"),
        (Everything.objects.union(Everything.objects.all()), r"union\(\)"),
        (Everything.objects.order_by("char").distinct("char"), r"distinct\(\) on columns"),
        (Everything.objects.annotate(row=Window(RowNumber())), "a window function"),
        (Everything.objects.extra(order_by=["id"]), "extra"),
        (Everything.objects.order_by("json"), r"by JSON: F\(json\)"),
        (Everything.objects.order_by("json__key"), "by JSON"),
        (Book.objects.order_by("editors"), "'editors' gives a row many places"),
        (Author.objects.order_by("-books__title"), "'books__title' gives a row many places"),
    ],
    ids=lambda value: value if isinstance(value, str) else "queryset",
)
def test_what_cannot_be_paged_is_told_to_the_developer(queryset, fault):
    with pytest.raises(ImproperlyConfigured, match=fault):
        fetch("/", queryset)


def test_a_column_without_a_text_is_told_to_the_developer():
    for _ in range(2):
        Everything.objects.create(binary=b"x")
    with pytest.raises(
        ImproperlyConfigured, match=r"Pages cannot be ordered by a '(bytes|memoryv)"
    ):
        fetch("/", Everything.objects.order_by("binary"), page_size=1)


def test_the_browsable_api_has_links():
    make_everything(5)
    view = EverythingView.as_view()
    url = fetch("/", Everything.objects.all(), page_size=2)["next"]
    response = view(APIRequestFactory().get(url, headers={"accept": "text/html"})).render()
    text = response.content.decode()
    assert response.status_code == 200
    assert text.count("cursor=") >= 2
    assert "pager" in text
    response = view(APIRequestFactory().get("/", headers={"accept": "text/html"})).render()
    assert "pager" not in response.content.decode()

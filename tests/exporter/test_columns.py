from __future__ import annotations

import re
from collections import UserList, deque
from dataclasses import FrozenInstanceError
from types import MappingProxyType

import pytest
from django.core.exceptions import FieldError
from django.db.models import Avg, Count, Exists, F, Max, OuterRef, Prefetch, Q, Subquery, Sum, Value
from django.db.models import Window as Over
from django.db.models.functions import Lower, RowNumber
from django.utils.translation import gettext_lazy, override

from django_infra.exporter.columns import Column, select
from django_infra.exporter.exceptions import (
    DuplicateHeader,
    InvalidQuerySet,
    InvalidValues,
    UnknownField,
)
from django_infra.exporter.export import export_queryset
from exporter.conftest import read as read_file
from exporter.conftest import write_expected
from generated import given, st
from ids import make_id
from testapp.models import Author, Book, Comic, Note, Profile, Publisher, Translation

pytestmark = pytest.mark.django_db


@pytest.fixture
def books():
    """Two books of Ada and one of Grace, who has the same initial as none."""
    ada, grace = (Author.objects.create(name=name) for name in ("Ada", "Grace"))
    Book.objects.create(title="Algebra", author=ada, pages=100, data={"kind": {"short": True}})
    Book.objects.create(title="Bits", author=ada, pages=20)
    Book.objects.create(title="Code", author=grace, pages=3)
    return Book.objects.order_by("title")


def get_headers(selection):
    return [column.header for column in selection.columns]


def read(selection):
    """Return the rows of a selection as an export does."""
    return [tuple(row[position] for position in selection.positions) for row in selection.queryset]


# Names


def test_names_are_their_own_headers(books):
    selection = select(books, ["title", "author__name", "pages"])
    assert get_headers(selection) == ["title", "author__name", "pages"]
    assert read(selection) == [("Algebra", "Ada", 100), ("Bits", "Ada", 20), ("Code", "Grace", 3)]


@pytest.mark.parametrize(
    "collect",
    [
        list,
        tuple,
        iter,
        deque,
        UserList,
        lambda names: (name for name in names),
        lambda names: dict.fromkeys(names).keys(),
        lambda names: dict(zip(names, names, strict=True)),
        lambda names: MappingProxyType(dict(zip(names, names, strict=True))),
    ],
)
def test_any_ordered_collection_names_columns(books, collect):
    assert get_headers(select(books, collect(["title", "pages"]))) == ["title", "pages"]


@pytest.mark.parametrize(
    "name",
    [
        "pk",
        "author",
        "author_id",
        "author__pk",
        "author__publisher__name",
        "author__books__title",
        "editors",
        "published_at__year",
        "data__kind__short",
        "comic__artist",
        "translation__pk",
    ],
)
def test_what_values_list_takes_is_taken(books, name):
    assert read(select(books, [name])) == list(books.values_list(name))


def test_annotations_extras_and_keys_are_columns(books):
    qs = books.annotate(size=F("pages") * 2).extra(select={"one": "1"})
    assert read(select(qs, ["size", "one", "pages"])) == [(200, 1, 100), (40, 1, 20), (6, 1, 3)]


def test_columns_of_other_models():
    assert get_headers(select(Translation.objects.all(), ["pk", "book", "language"]))
    assert get_headers(select(Comic.objects.all(), ["id", "book_ptr", "title", "artist"]))
    assert get_headers(select(Note.objects.all(), ["content_type", "object_id"]))


@pytest.mark.parametrize(
    "make",
    [
        lambda qs: qs.values("pages"),
        lambda qs: qs.values_list("pages", flat=True),
        lambda qs: qs.values_list("pages", named=True),
        lambda qs: qs.only("pages"),
        lambda qs: qs.defer("title"),
        lambda qs: qs.select_related("author"),
        lambda qs: qs.prefetch_related("editors", Prefetch("author")),
        lambda qs: qs[:],
        lambda qs: qs.distinct(),
    ],
)
def test_what_a_queryset_selects_by_itself_does_not_matter(books, make):
    rows = [("Algebra",), ("Bits",), ("Code",)]
    assert read(select(make(books), ["title"])) == rows


# Mappings


def test_a_mapping_gives_headers(books):
    selection = select(books, {"title": "The title", "author__name": "By"})
    assert get_headers(selection) == ["The title", "By"]
    assert read(selection)[0] == ("Algebra", "Ada")


def test_a_mapping_swaps_headers_without_confusion(books):
    selection = select(books, {"title": "pages", "pages": "title"})
    assert get_headers(selection) == ["pages", "title"]
    assert read(selection)[0] == ("Algebra", 100)


def test_a_header_may_be_empty_or_anything(books):
    assert get_headers(select(books, {"title": "", "pages": '=1+1,"\n'})) == ["", '=1+1,"\n']


def test_lazy_headers_are_translated_when_selected(books):
    values = {"title": gettext_lazy("Yes"), gettext_lazy("No"): F("pages")}
    with override("de"):
        assert get_headers(select(books, values)) == ["Ja", "Nein"]
    assert get_headers(select(books, values)) == ["Yes", "No"]
    assert {type(header) for header in get_headers(select(books, values))} == {str}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (F("author__name"), ["Ada", "Ada", "Grace"]),
        (Lower("title"), ["algebra", "bits", "code"]),
        (Value(7), [7, 7, 7]),
        (F("pages") + 1, [101, 21, 4]),
        (Over(RowNumber(), order_by="title"), [1, 2, 3]),
        (Subquery(Author.objects.filter(pk=OuterRef("author")).values("name")), ["Ada", "Ada"]),
        (Exists(Author.objects.filter(pk=OuterRef("author"), name="Ada")), [True, True, False]),
        (Q(pages__gt=10), [True, True, False]),
        (Sum("pages"), [100, 20, 3]),
        (Sum(F("pages") * 2), [200, 40, 6]),
        (Count("*"), [1, 1, 1]),
        (Avg("pages", filter=Q(pages__gt=10)), [100, 20, None]),
        (Max("author__name"), ["Ada", "Ada", "Grace"]),
    ],
    ids=make_id,
)
def test_a_header_maps_to_an_expression(books, expression, expected):
    selection = select(books, {"title": "Title", "What": expression})
    assert get_headers(selection) == ["Title", "What"]
    rows = read(selection)
    assert [row[0] for row in rows] == ["Algebra", "Bits", "Code"]
    assert [row[1] for row in rows][: len(expected)] == expected


def test_equal_expressions_are_columns_of_their_own(books):
    selection = select(books, {"one": Lower("title"), "two": Lower("title"), "title": "lower1"})
    assert read(selection)[0] == ("algebra", "algebra", "Algebra")


def test_an_expression_takes_nothing_away_from_an_annotation_of_its_name(books):
    qs = books.annotate(lower1=F("pages"), f1=F("pages"))
    selection = select(qs, {"a": Lower("title"), "b": F("title"), "lower1": "c", "f1": "d"})
    assert read(selection)[0] == ("algebra", "Algebra", 100, 100)


@pytest.mark.parametrize("name", ["lower1", "f1"])
def test_an_expression_replaces_no_annotation_that_the_queryset_uses(books, name):
    qs = books.annotate(**{name: F("pages")}).filter(**{f"{name}__lt": 50}).order_by(name)
    selection = select(qs, {"a": Lower("title"), "b": F("title")})
    assert read(selection) == [("code", "Code"), ("bits", "Bits")]


def test_an_expression_groups_as_an_annotation_does(books):
    by_author = Author.objects.values("name").order_by("name")
    selection = select(by_author, {"name": "Name", "Pages": Sum("books__pages")})
    assert read(selection) == [("Ada", 120), ("Grace", 3)]


def test_an_expression_on_a_slice_of_grouped_rows(books):
    qs = Author.objects.annotate(count=Count("books")).order_by("-count")[:1]
    assert read(select(qs, {"count": "Books", "Name": Lower("name")})) == [(2, "ada")]


# Names that are refused


@pytest.mark.parametrize(
    "name",
    [
        "nope",
        "author__nope",
        "author__publisher__nope__name",
        "title__nope",
        "title__contains",
        "title__exact",
        "author__isnull",
        "pages__gte",
        "published_at__year__nope",
        "content_object",
        "title__",
        "__title",
        "__",
        "",
        " title",
        "title ",
        "Title",
        "pk__",
        "*",
        "-title",
        "?",
        "author.name",
        "_state",
        "objects",
        "__class__",
        'title" FROM testapp_author; --',
        "title\0",
    ],
)
def test_an_unknown_name_is_refused_with_what_there_is(books, name, django_assert_num_queries):
    qs = books.annotate(size=F("pages") * 2)
    with django_assert_num_queries(0), pytest.raises(UnknownField) as caught:
        select(qs, ["title", name, "pages"])
    assert f"Cannot export {name!r} from testapp.Book: " in str(caught.value)
    assert (
        "testapp.Book has: pk, id, title, author, pages, price, published_at, data, size, and"
        in str(caught.value)
    )
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, FieldError)


def test_an_alias_is_no_column(books):
    with pytest.raises(UnknownField, match=r"'size'.*annotate"):
        select(books.alias(size=F("pages")), ["size"])


def test_a_name_that_another_queryset_annotates_is_unknown(books):
    select(books.annotate(size=F("pages")), ["size"])
    with pytest.raises(UnknownField):
        select(books, ["size"])


def test_a_generic_foreign_key_is_no_column():
    with pytest.raises(UnknownField, match=r"'content_object'.*content_type, object_id"):
        select(Note.objects.all(), ["content_object"])


def test_an_expression_with_an_unknown_name_is_refused_by_its_header(books):
    with pytest.raises(InvalidValues, match=r"Cannot export 'Price in €': .*'nope'"):
        select(books, {"title": "Title", "Price in €": F("nope") * 2})


@pytest.mark.parametrize("expression", [OuterRef("title"), F("pages") + OuterRef("pages")])
def test_a_reference_to_no_query_is_refused(books, expression):
    with pytest.raises(InvalidValues, match="outer query"):
        select(books, {"Title": expression})


def test_a_type_that_cannot_be_told_is_refused(books):
    with pytest.raises(InvalidValues, match="must set output_field"):
        select(books, {"Sum": F("pages") + F("published_at") + Value("x")})


@pytest.mark.parametrize("expression", [Q(pk__in=[]), ~Q(pk__in=[]), Exists(Book.objects.none())])
def test_what_is_known_without_the_database_is_a_column(books, expression):
    assert len(read(select(books, {"Known": expression}))) == 3


def test_no_rows_are_no_mistake(books):
    assert read(select(books.none(), ["title"])) == []
    assert read(select(books.filter(pk__in=[]), {"Title": Lower("title")})) == []


# Django 6.1 warns of per cent signs in names.
@given(st.text(st.characters(exclude_categories=(), exclude_characters="%"), max_size=20))
def test_any_text_is_a_column_or_refused(name):
    for path in (name, f"author__{name}", f"title__{name}"):
        try:
            selection = select(Book.objects.all(), [path])
        except InvalidValues:
            continue
        assert get_headers(selection) == [path]


# Values that are refused


@pytest.mark.parametrize(
    "values",
    [
        None,
        "title",
        "",
        b"title",
        bytearray(b"title"),
        5,
        True,
        object(),
        {"title"},
        frozenset({"title"}),
        Lower("title"),
        F("title"),
        Book,
    ],
)
def test_what_is_no_ordered_collection_is_refused(books, values):
    with pytest.raises(InvalidValues, match=r"^values .*name"):
        select(books, values)


@pytest.mark.parametrize("values", [[], (), {}, iter([])])
def test_no_names_are_refused(books, values):
    with pytest.raises(InvalidValues, match="values is empty"):
        select(books, values)


@pytest.mark.parametrize("item", [None, 1, b"title", ("title", "Title"), ["title"], Book, {}])
def test_an_item_that_is_no_name_is_refused(books, item):
    with pytest.raises(InvalidValues, match="is not the name of a field") as caught:
        select(books, ["title", item])
    assert repr(item) in str(caught.value)


@pytest.mark.parametrize("item", [Lower("title"), F("title"), Count("*"), Q(pages=1)])
def test_an_expression_without_a_header_is_refused(books, item):
    with pytest.raises(InvalidValues, match=r"without a header.*\{header: expression\}") as caught:
        select(books, ["title", item])
    assert repr(item) in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("title", None),
        ("title", 1),
        ("title", b"Title"),
        ("title", ["Title"]),
        ("title", Book),
        (1, "Title"),
        (None, "Title"),
        (b"title", "Title"),
        (("title",), "Title"),
        (None, F("title")),
        (F("title"), "Title"),
        (F("title"), F("title")),
        (gettext_lazy("title"), "Title"),
    ],
)
def test_a_mapping_of_something_else_is_refused(books, key, value):
    with pytest.raises(InvalidValues, match="a mapping goes from") as caught:
        select(books, {key: value})
    assert f"values maps {key!r} to {value!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (["title", "title"], "'title'"),
        (["title", "pages", "title", "pages", "id"], "'title', 'pages'"),
        ({"title": "T", "pages": "T"}, "'T'"),
        ({"title": "T", "T": F("pages")}, "'T'"),
        ({"title": "", "pages": ""}, "''"),
        ({"title": gettext_lazy("Yes"), "pages": "Yes"}, "'Yes'"),
    ],
)
def test_duplicate_headers_are_refused_by_name(books, values, named):
    with pytest.raises(DuplicateHeader, match=f"several columns the header {named};"):
        select(books, values)


@pytest.mark.parametrize("header", ["\ud800", "a\udfffb"], ids=ascii)
def test_a_header_that_no_file_can_hold_is_refused(books, header):
    with pytest.raises(InvalidValues):
        select(books, {"title": header})
    with pytest.raises(InvalidValues):
        select(books, {header: F("title")})


def test_one_field_under_two_names_is_two_columns(books):
    assert get_headers(select(books, ["pk", "id"])) == ["pk", "id"]


def test_headers_differ_by_case_and_space(books):
    assert get_headers(select(books, {"title": "a", "pages": "A", "id": "a "})) == ["a", "A", "a "]


# Querysets that are refused


async def agenerate():
    yield "title"


@pytest.mark.parametrize(
    "make",
    [
        lambda: None,
        lambda: Book,
        lambda: Book.objects,
        lambda: Author(pk=1).books,
        lambda: Book.objects.raw("SELECT * FROM testapp_book"),
        lambda: Book.objects.all().query,
        lambda: Book.objects.iterator(),
        lambda: Book.objects.aiterator(),
        lambda: agenerate(),
        lambda: [Book(title="Algebra")],
        lambda: [],
        lambda: "testapp.Book",
        lambda: Q(pages=1),
    ],
)
def test_what_is_no_queryset_is_refused(make, django_assert_num_queries):
    thing = make()
    with (
        django_assert_num_queries(0),
        pytest.raises(InvalidQuerySet, match="qs must be a QuerySet") as caught,
    ):
        select(thing, ["title"])
    assert str(caught.value).startswith("Cannot export ")
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, TypeError)


# The caller's queryset


@pytest.mark.parametrize(
    "values",
    [["title", "author__name"], {"title": "T"}, {"a": Lower("title"), "b": Count("editors")}],
)
def test_the_callers_queryset_is_neither_evaluated_nor_changed(
    books, values, django_assert_num_queries
):
    qs = books.annotate(size=F("pages")).prefetch_related("editors")
    before = str(qs.query)
    with django_assert_num_queries(0):
        selection = select(qs, values)
    assert qs._result_cache is None
    assert str(qs.query) == before
    assert list(qs.query.annotations) == ["size"]
    assert selection.queryset is not qs
    assert [book.title for book in qs] == ["Algebra", "Bits", "Code"]


def test_an_evaluated_queryset_is_read_anew(books):
    assert len(books) == 3
    Book.objects.filter(title="Code").delete()
    assert read(select(books, ["title"])) == [("Algebra",), ("Bits",)]
    assert len(books) == 3


@pytest.mark.django_db(databases=["default", "other"])
def test_the_database_of_the_queryset_is_kept(books):
    Publisher.objects.using("other").create(name="Elsewhere")
    qs = Publisher.objects.using("other")
    for selected in (qs, qs.values("name").union(qs.values("name"))):
        selection = select(selected, ["name"])
        assert selection.queryset.db == "other"
        assert read(selection) == [("Elsewhere",)]


class ReplicaRouter:
    def db_for_read(self, model, **hints):
        return "other"


def test_the_router_is_asked_once(books, settings):
    settings.DATABASE_ROUTERS = [ReplicaRouter()]
    selection = select(books, ["title"])
    settings.DATABASE_ROUTERS = []
    assert selection.queryset.db == "other"


# Unions


@pytest.fixture
def union(books):
    """A union of values() querysets, whose columns SQL fixes."""
    return (
        books.order_by()
        .values("title", "pages")
        .union(Author.objects.annotate(zero=Value(0)).values("name", "zero"))
        .order_by("title")
    )


UNITED = [("Ada", 0), ("Algebra", 100), ("Bits", 20), ("Code", 3), ("Grace", 0)]


def test_the_columns_of_a_union_are_those_of_its_first_part(union):
    assert read(select(union, ["title", "pages"])) == UNITED


def test_the_columns_of_a_union_may_be_put_in_another_order(union):
    assert read(select(union, ["pages", "title"])) == [(pages, title) for title, pages in UNITED]


def test_some_columns_of_a_union_may_be_left_out_but_its_rows_stay(union):
    assert read(select(union, ["pages"])) == [(pages,) for _, pages in UNITED]


def test_the_columns_of_a_union_may_be_renamed(union):
    selection = select(union, {"pages": "title", "title": "pages"})
    assert get_headers(selection) == ["title", "pages"]
    assert read(selection)[1] == (100, "Algebra")


@pytest.mark.parametrize("name", ["name", "id", "author", "pk", "nope", ""])
def test_another_column_of_a_union_is_refused(union, name):
    with pytest.raises(UnknownField) as caught:
        select(union, ["title", name])
    assert f"Cannot export {name!r}: the combined querysets select 'title', 'pages'" in str(
        caught.value
    )


def test_an_expression_on_a_union_of_values_is_refused(union):
    with pytest.raises(InvalidValues, match=re.escape("Cannot export Lower(F(title))")):
        select(union, {"Title": Lower("title")})


def test_a_union_of_a_union_has_the_same_columns(union):
    longer = union.order_by().union(Comic.objects.values("title", "id")).order_by("pages", "title")
    assert read(select(longer, ["pages", "title"])) == [
        (0, "Ada"),
        (0, "Grace"),
        (3, "Code"),
        (20, "Bits"),
        (100, "Algebra"),
    ]
    with pytest.raises(UnknownField, match="select 'title', 'pages'"):
        select(longer, ["id"])


def test_a_union_ordered_by_another_column_is_not_changed(books):
    parts = [Book.objects.filter(pages__gt=10), Book.objects.filter(pages=3)]
    union = parts[0].union(parts[1]).order_by("pages")
    for _ in range(2):
        selection = select(union, ["title"])
        assert list(selection.copy_query().selected) == ["title"]
    assert [book.title for book in union] == ["Code", "Bits", "Algebra"]
    assert [list(part.values_list("title")) for part in parts] == [
        [("Algebra",), ("Bits",)],
        [("Code",)],
    ]


def test_a_union_is_neither_evaluated_nor_changed(union, django_assert_num_queries):
    for _ in range(2):
        with django_assert_num_queries(0):
            selection = select(union, ["pages"])
        assert read(selection) == [(pages,) for _, pages in UNITED]
    assert union._result_cache is None
    assert list(union) == [{"title": title, "pages": pages} for title, pages in UNITED]


@pytest.mark.parametrize("method", ["union", "intersection", "difference"])
def test_combined_models_choose_their_columns(books, method):
    combined = getattr(books.order_by(), method)(Book.objects.filter(pages__gt=10))
    selection = select(combined.order_by("title"), ["pages", "title"])
    assert read(selection) == list(combined.order_by("title").values_list("pages", "title"))


def test_combined_models_have_paths(books):
    combined = books.order_by().union(Book.objects.none(), Book.objects.filter(pages=3))
    rows = read(select(combined, ["author__name", "title"]))
    assert sorted(rows) == [("Ada", "Algebra"), ("Ada", "Bits"), ("Grace", "Code")]


def test_combined_models_have_no_expressions(books):
    combined = books.order_by().union(Book.objects.filter(pages=3))
    with pytest.raises(InvalidValues, match="Cannot export 'Title'"):
        select(combined, {"Title": Lower("title")})


def test_a_union_with_nothing_is_no_union(books):
    assert get_headers(select(books.union(), ["author__name"])) == ["author__name"]
    assert get_headers(select(Profile.objects.none(), ["name"])) == ["name"]


# Columns as objects


def test_a_column_is_a_value_and_a_header(books):
    values = ["pages", Column("title", "id"), Column("title"), Column(Lower("title"), "pages ")]
    selection = select(books, values)
    assert [column.header for column in selection.columns] == ["pages", "id", "title", "pages "]
    assert [column.value for column in selection.columns[:3]] == ["pages", "title", "title"]


def test_columns_can_be_compared_and_not_changed():
    column = Column("title", "Title")
    assert column == Column("title", header="Title") != Column("Title", "title")
    with pytest.raises(FrozenInstanceError):
        column.header = "Other"


@pytest.mark.parametrize(
    ("value", "header"),
    [(1, "One"), (None, "None"), (F("id").asc(), "Id"), ("id", 1)],
)
def test_what_is_no_column_is_refused_where_it_is_written(value, header):
    with pytest.raises(InvalidValues, match=r"^Column\(.*\.$"):
        Column(value, header)


def test_a_column_of_an_expression_needs_a_header():
    with pytest.raises(InvalidValues, match="has the header None, which is not text"):
        Column(Lower("title"))


def test_two_columns_cannot_have_one_header(books):
    with pytest.raises(DuplicateHeader, match="'id'"):
        select(books, ["id", Column("title", "id")])


def test_a_lazy_header_is_translated_for_each_export(books):
    column = Column("title", gettext_lazy("Yes"))
    for language, header in (("de", "Ja"), ("fr", "Oui")):
        with override(language):
            assert select(books, [column]).columns[0].header == header


def test_one_name_in_several_columns_is_read_for_each(library):
    books = Book.objects.order_by("pk")
    values = ["title", Column("id", "a"), Column("title", "b"), Column(F("id"), "c"), "id"]
    export = export_queryset(books, values, options={"escape_formulas": False})
    rows = [(book.title, book.pk, book.title, book.pk, book.pk) for book in books]
    assert read_file(export) == write_expected(["title", "a", "b", "c", "id"], rows)
    assert len(rows) > 1

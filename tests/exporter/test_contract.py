"""Whatever ``qs.values_list(*values)`` gives, the file holds: same rows, same order, same bytes."""

from __future__ import annotations

from collections import UserString

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import (
    Avg,
    BooleanField,
    Case,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    FilteredRelation,
    Func,
    OuterRef,
    Prefetch,
    Q,
    Subquery,
    Sum,
    TextField,
    Value,
    When,
    Window,
)
from django.db.models.expressions import RawSQL
from django.db.models.fields.json import KT, KeyTextTransform
from django.db.models.functions import (
    Cast,
    Coalesce,
    Concat,
    ExtractYear,
    JSONObject,
    Lower,
    Rank,
    RowNumber,
    TruncMonth,
    Upper,
)
from django.test.utils import CaptureQueriesContext

from django_infra.exporter.export import export_queryset
from exporter.conftest import read, write_expected
from testapp.models import (
    Author,
    Book,
    Comic,
    Edition,
    LivingAuthor,
    Lookup,
    Note,
    Publisher,
    Shout,
    Translation,
)

books = Book.objects.order_by("id")
authors = Author.objects.order_by("id")

QUERYSETS = {
    "all": lambda: (books, ["id", "title", "pages", "price", "published_at", "data"]),
    "primary key": lambda: (books, ["pk", "title"]),
    "one column of nulls": lambda: (books, ["price"]),
    "foreign key": lambda: (books, ["author", "author_id"]),
    "related paths": lambda: (books, ["id", "author__name", "author__publisher__name"]),
    "reverse path": lambda: (authors.order_by("id", "books__id"), ["id", "books__title"]),
    "many to many": lambda: (
        books.order_by("id", "editors__id"),
        ["id", "editors", "editors__name"],
    ),
    "filter": lambda: (books.filter(pages__gt=20, author__name="Ann"), ["id", "pages"]),
    "exclude across relation": lambda: (authors.exclude(books__pages__gt=30), ["id", "name"]),
    "filter with parameters like formats": lambda: (
        books.annotate(sign=Value("100%s %(x)s %%")),
        ["id", "sign"],
    ),
    "default ordering": lambda: (Book.objects.all().order_by("title", "-id"), ["title", "id"]),
    "reverse": lambda: (books.reverse(), ["id"]),
    "order by unselected": lambda: (Book.objects.order_by("-pages", "id"), ["title"]),
    "order by annotation": lambda: (
        Author.objects.annotate(n=Count("books")).order_by("-n", "id"),
        ["name"],
    ),
    "order by null handling": lambda: (
        Book.objects.order_by(F("price").asc(nulls_last=True), "id"),
        ["id", "price"],
    ),
    "annotate": lambda: (
        books.annotate(double=F("pages") * 2, loud=Upper("title")),
        ["loud", "id", "double"],
    ),
    "annotation before field": lambda: (books.annotate(zero=Value(0)), ["zero", "id", "title"]),
    "alias in annotation": lambda: (
        books.alias(a=F("pages") + 1).annotate(b=F("a") * 2),
        ["id", "b"],
    ),
    "aggregate": lambda: (
        authors.annotate(n=Count("books"), mean=Avg("books__pages"), total=Sum("books__price")),
        ["id", "n", "mean", "total"],
    ),
    "filtered aggregate": lambda: (
        authors.annotate(n=Count("books", filter=Q(books__pages__gt=20))),
        ["id", "n"],
    ),
    "group by": lambda: (
        Book.objects.values("author__name").annotate(n=Count("id")).order_by("author__name"),
        ["author__name", "n"],
    ),
    "group by, aggregate alone": lambda: (
        Book.objects.values("author").annotate(n=Count("id")).order_by("author"),
        ["n"],
    ),
    "group by month": lambda: (
        Book.objects.filter(published_at__isnull=False)
        .annotate(month=TruncMonth("published_at"))
        .values("month")
        .annotate(n=Count("id"))
        .order_by("month"),
        ["month", "n"],
    ),
    "having": lambda: (authors.annotate(n=Count("books")).filter(n__gte=3), ["id", "n"]),
    "window": lambda: (
        books.annotate(
            rank=Window(Rank(), partition_by="author", order_by="pages"),
            number=Window(RowNumber(), order_by="id"),
        ),
        ["id", "rank", "number"],
    ),
    "filtered window": lambda: (
        books.annotate(n=Window(RowNumber(), partition_by="author", order_by="id")).filter(n=1),
        ["id", "n"],
    ),
    "subquery": lambda: (
        authors.annotate(
            best=Subquery(
                Book.objects.filter(author=OuterRef("pk"))
                .order_by("-pages", "id")
                .values("title")[:1]
            ),
            has=Exists(Book.objects.filter(author=OuterRef("pk"))),
        ),
        ["id", "best", "has"],
    ),
    "case": lambda: (
        books.annotate(
            size=Case(When(pages__gt=30, then=Value("thick")), default=Value("thin")),
            is_long=ExpressionWrapper(Q(pages__gt=30), output_field=BooleanField()),
        ),
        ["id", "size", "is_long"],
    ),
    "filtered relation": lambda: (
        authors.annotate(
            thick=FilteredRelation("books", condition=Q(books__pages__gt=40))
        ).order_by("id", "thick__id"),
        ["id", "thick__title"],
    ),
    "functions": lambda: (
        books.annotate(
            year=ExtractYear("published_at"),
            name=Concat("title", Value(" by "), "author__name"),
            cost=Coalesce("price", Value(0), output_field=Book._meta.get_field("price")),
            text=Cast("pages", output_field=Book._meta.get_field("title")),
        ),
        ["id", "year", "name", "cost", "text"],
    ),
    "transform in values": lambda: (books, ["id", "published_at__year", "published_at__month"]),
    "json key": lambda: (books, ["id", "data__deep", "data__deep__n", "data__tags__0"]),
    "json text": lambda: (
        books.annotate(s=KT("data__deep__s"), n=KeyTextTransform("n", "data__deep")),
        ["id", "s", "n"],
    ),
    "json object": lambda: (
        books.annotate(o=JSONObject(id="id", title="title")),
        ["id", "o"],
    ),
    "values applied": lambda: (books.values("id", "title"), ["title"]),
    "values_list applied": lambda: (books.values_list("id", flat=True), ["id", "title"]),
    "named values_list applied": lambda: (books.values_list("id", named=True), ["title"]),
    "dates": lambda: (Book.objects.dates("published_at", "month"), ["datefield"]),
    "distinct": lambda: (Book.objects.order_by("title").distinct(), ["title"]),
    "distinct, ordered by unselected": lambda: (
        Book.objects.order_by("pages", "title").distinct(),
        ["title"],
    ),
    "slice": lambda: (books[3:7], ["id", "title"]),
    "slice to the end": lambda: (books[9:], ["id"]),
    "slice annotated": lambda: (books[:5].annotate(n=F("pages") + 1), ["id", "n"]),
    "empty slice": lambda: (books[3:3], ["id"]),
    "none": lambda: (Book.objects.none(), ["id", "title"]),
    "nothing found": lambda: (books.filter(pages=-1), ["id"]),
    "impossible": lambda: (books.filter(pk__in=[]), ["id"]),
    "union": lambda: (
        Book.objects.filter(pages__lt=20).union(Book.objects.filter(pages__gt=40)).order_by("id"),
        ["id", "title"],
    ),
    "union of all": lambda: (
        Author.objects.all().union(Author.objects.all(), all=True).order_by("name", "id"),
        ["name"],
    ),
    "union of models": lambda: (
        Author.objects.values("name").union(Publisher.objects.values("name")).order_by("name"),
        ["name"],
    ),
    "union of annotated": lambda: (
        Author.objects.annotate(kind=Value("a"))
        .values("id", "name", "kind")
        .union(Publisher.objects.annotate(kind=Value("p")).values("id", "name", "kind"))
        .order_by("kind", "id"),
        ["id", "name", "kind"],
    ),
    "union ordered by unselected": lambda: (
        Book.objects.filter(pages__lt=20)
        .union(Book.objects.filter(pages__gt=40))
        .order_by("pages", "id"),
        ["title", "id"],
    ),
    "union of unions": lambda: (
        Book.objects.filter(pages__lt=10)
        .union(Book.objects.filter(pages__gt=50))
        .union(Book.objects.filter(pages=30))
        .order_by("id"),
        ["id", "title"],
    ),
    "sliced union": lambda: (
        Book.objects.filter(pages__lt=20)
        .union(Book.objects.filter(pages__gt=40))
        .order_by("-id")[1:4],
        ["id"],
    ),
    "union with an empty part": lambda: (
        Book.objects.filter(pk__in=[]).union(Book.objects.filter(pages__gt=40)).order_by("id"),
        ["id"],
    ),
    "intersection": lambda: (
        Book.objects.filter(pages__gt=10)
        .intersection(Book.objects.filter(pages__lt=50))
        .order_by("id"),
        ["id"],
    ),
    "difference": lambda: (
        Book.objects.all().difference(Book.objects.filter(pages__lt=50)).order_by("id"),
        ["id"],
    ),
    "extra": lambda: (
        books.extra(select={"more": "pages + %s"}, select_params=[5], where=["pages > 10"]),
        ["more", "id"],
    ),
    "raw sql": lambda: (books.annotate(n=RawSQL("pages * %s", [3])), ["id", "n"]),
    "only": lambda: (books.only("title"), ["id", "pages"]),
    "defer": lambda: (books.defer("title"), ["title", "pages"]),
    "select_related": lambda: (books.select_related("author__publisher"), ["id"]),
    "prefetch_related": lambda: (
        books.prefetch_related("editors", Prefetch("author", Author.objects.all())),
        ["id", "title"],
    ),
    "composite primary key": lambda: (
        Translation.objects.order_by("pk"),
        ["pk", "book", "language", "title"],
    ),
    "composite primary key between": lambda: (
        Translation.objects.order_by("pk").annotate(n=Value(1)),
        ["title", "pk", "n", "book__data"],
    ),
    "composite primary key through a relation": lambda: (
        books.order_by("id", "translation__language"),
        ["id", "translation__pk", "translation__title"],
    ),
    "composite primary key of converted parts": lambda: (
        Edition.objects.order_by("pk"),
        ["pk", "number", "printed_at"],
    ),
    "comment at the end": lambda: (
        books.order_by(Func(F("id"), template="%(expressions)s -- the end")),
        ["id", "title"],
    ),
    "generic foreign key": lambda: (
        Note.objects.order_by("id"),
        ["text", "content_type", "object_id", "content_type__model"],
    ),
    "proxy": lambda: (LivingAuthor.objects.order_by("id"), ["id", "name"]),
    "inherited": lambda: (Comic.objects.all(), ["pk", "book_ptr", "title", "artist", "id"]),
    "child of inherited": lambda: (books, ["id", "comic", "comic__artist"]),
    "user": lambda: (get_user_model().objects.all(), ["username", "last_login"]),
    "nested functions": lambda: (books.annotate(low=Lower(Lower("author__name"))), ["low"]),
}


@pytest.mark.parametrize("name", QUERYSETS)
def test_file_holds_the_rows_of_values_list(library, name):
    qs, values = QUERYSETS[name]()
    # Where a union is ordered by a column that is not selected, Django gives that one too.
    rows = [row[: len(values)] for row in qs.all().values_list(*values)]

    export = export_queryset(qs, values, options={"escape_formulas": False})

    assert read(export) == write_expected(values, rows)
    assert export.row_count == len(rows)
    assert qs._result_cache is None


@pytest.mark.parametrize("name", QUERYSETS)
def test_the_same_queryset_gives_the_same_file_again(library, name):
    qs, values = QUERYSETS[name]()
    first = export_queryset(qs, values)

    assert read(export_queryset(qs, values)) == read(first)


def test_random_order_gives_the_same_rows(library):
    qs = Book.objects.order_by("?")

    export = export_queryset(qs, ["id"])

    header, *rows = read(export).decode().split()
    assert header == "id"
    assert sorted(map(int, rows)) == sorted(qs.values_list("id", flat=True))


def test_union_of_values_takes_the_asked_columns_in_the_asked_order(library):
    qs = (
        Author.objects.values("id", "name", "email")
        .union(Publisher.objects.annotate(email=Value("-")).values("id", "name", "email"))
        .order_by("id", "name")
    )
    expected = [(row["email"], row["id"]) for row in qs]

    export = export_queryset(qs, ["email", "id"], options={"escape_formulas": False})

    assert read(export) == write_expected(["email", "id"], expected)


def test_union_ordered_by_an_unselected_column_is_left_as_it_was(library):
    first = Book.objects.filter(pages__lt=20)
    qs = first.union(Book.objects.filter(pages__gt=40)).order_by("pages", "id")
    before = list(qs.all().values_list("title", "id"))

    export_queryset(qs, ["title"])

    assert not first.query.annotations
    assert not any(query.annotations for query in qs.query.combined_queries)
    assert list(first.values_list("id")) == list(
        Book.objects.filter(pages__lt=20).values_list("id")
    )
    assert [row[:2] for row in qs.all().values_list("title", "id")] == [row[:2] for row in before]


@pytest.mark.only_on("postgresql")
def test_distinct_on_fields(library):
    qs = Book.objects.order_by("author", "-pages", "id").distinct("author")

    export = export_queryset(qs, ["author", "title"])

    assert read(export) == write_expected(["author", "title"], qs.values_list("author", "title"))


@pytest.mark.django_db(transaction=True)
def test_select_for_update_gets_its_transaction():
    Author.objects.create(name="Ann")

    export = export_queryset(Author.objects.select_for_update(), ["name"])

    assert read(export) == b"name\r\nAnn\r\n"


def test_evaluated_queryset_is_read_again(library):
    qs = Book.objects.order_by("id")
    assert len(qs) == 13
    Book.objects.filter(pk=qs[0].pk).update(title="New")

    assert b"New" in read(export_queryset(qs, ["title"]))
    assert qs[0].title != "New"


@pytest.mark.django_db(databases=["default", "other"])
def test_rows_come_from_the_queryset_s_database():
    Author.objects.using("other").create(name="There")
    Author.objects.create(name="Here")

    export = export_queryset(Author.objects.using("other"), ["name"])

    assert read(export) == b"name\r\nThere\r\n"
    assert export._state.db == "default"


def test_none_runs_no_query_on_the_data(library):
    with CaptureQueriesContext(connection) as queries:
        export_queryset(Book.objects.none(), ["title"])

    assert any("exporter_queryexport" in query["sql"] for query in queries)
    assert not any("testapp_book" in query["sql"] for query in queries)


def test_distinct_composite_key_ordered_by_an_unselected_column(library):
    """Django cuts such rows at the wrong column, so that the language would be missing."""
    qs = Translation.objects.order_by("title").distinct()
    rows = [((book, language), language) for book, language in qs.values_list("book", "language")]

    export = export_queryset(qs, ["pk", "language"])

    assert read(export) == write_expected(["pk", "language"], rows)


def test_headers_come_from_a_mapping(library):
    export = export_queryset(
        books[:1], {"id": "No.", "title": "Book, title", "Loud": Upper("title")}
    )

    first = Book.objects.order_by("id")[0]
    assert read(export).decode() == (
        f'No.,"Book, title",Loud\r\n{first.pk},{first.title},{first.title.upper()}\r\n'
    )


def test_formulas_are_escaped_unless_told_otherwise(library):
    qs = Author.objects.annotate(evil=Value("=cmd()"), number=Value("-5"))[:1]

    escaped = export_queryset(qs, {"evil": "+header", "number": "number"})
    plain = export_queryset(
        qs, {"evil": "+header", "number": "number"}, options={"escape_formulas": False}
    )

    assert read(escaped) == b"'+header,number\r\n'=cmd(),-5\r\n"
    assert read(plain) == b"+header,number\r\n=cmd(),-5\r\n"


def test_formulas_behind_a_separator_are_escaped(library):
    inner = {"x": Value("x;=1+1"), "y;@": Value('a\t-1,"'), "z\t+": Value("1\n=2")}

    escaped = export_queryset(books[:1], {"id": "id", **inner})
    plain = export_queryset(books[:1], {"id": "id", **inner}, options={"escape_formulas": False})

    pk = books[0].pk
    assert read(escaped).decode() == (
        f'id,x,"y;\'@","z\t\'+"\r\n{pk},"x;\'=1+1","a\t\'-1,""","1\n\'=2"\r\n'
    )
    assert read(plain) == write_expected(
        ["id", "x", "y;@", "z\t+"], [(pk, "x;=1+1", 'a\t-1,"', "1\n=2")]
    )


class UserStringField(TextField):
    """A field whose values are no ``str``, as those of phone numbers are."""

    def from_db_value(self, value, expression, connection):
        return UserString(value)


def test_objects_are_guarded_as_their_texts_are(library):
    texts = ["=1", "x;=1", "-5", "+49 30 1234"]
    values = {text: Value(text, output_field=UserStringField()) for text in texts}

    export = export_queryset(books[:1], {f"c{at}": values[text] for at, text in enumerate(texts)})

    assert read(export) == b"c0,c1,c2,c3\r\n'=1,\"x;'=1\",-5,'+49 30 1234\r\n"


def test_field_that_sends_a_query_while_rows_are_read(db):
    Lookup.objects.bulk_create([Lookup(text=str(number)) for number in range(3000)])
    qs = Lookup.objects.order_by("id")

    export = export_queryset(qs, ["text", "id"])

    assert read(export) == write_expected(["text", "id"], qs.values_list("text", "id"))
    assert export.row_count == 3000


def test_rows_of_a_queryset_s_own_making(db):
    Shout.objects.bulk_create([Shout(text=f"shout {number}") for number in range(30)])
    qs = Shout.objects.order_by("id")

    export = export_queryset(qs, ["text"])

    assert read(export).startswith(b"text\r\nSHOUT 0\r\nSHOUT 1\r\n")
    assert export.row_count == 30


def test_expression_leaves_annotations_of_any_name_alone(library):
    qs = books.annotate(exporter_column_0=Value("mine"))[:1]

    export = export_queryset(qs, {"x": Value(2) * 2, "exporter_column_0": "y"})

    assert read(export) == b"x,y\r\n4,mine\r\n"

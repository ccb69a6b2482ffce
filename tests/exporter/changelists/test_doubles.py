from __future__ import annotations

import pytest
from django.contrib import admin
from django.db.models import Case, F, Q, Value, When, Window
from django.db.models.expressions import RawSQL
from django.db.models.functions import Length, RowNumber, Upper

from django_infra.exporter.exceptions import OtherRows
from testapp.models import Author

# What is handed over after the commit is to run.
pytestmark = pytest.mark.django_db(transaction=True)

RANK = Case(When(name__endswith="3", then=2), default=1)


@pytest.fixture
def show(monkeypatch):
    """Let the change list of authors have rows and results of a search of its own."""

    def show(rows=Author.objects.all, search=lambda rows: rows, list_display=("name",)):
        kind = type(admin.site.get_model_admin(Author))
        monkeypatch.setattr(kind, "get_queryset", lambda self, request: rows())
        monkeypatch.setattr(kind, "list_display", list_display)
        monkeypatch.setattr(
            kind, "get_search_results", lambda self, request, rows, term: (search(rows), False)
        )

    return show


@admin.display(ordering="rank")
def show_rank(author):
    return author.rank


def with_books(rows):
    return rows.filter(books__pages__gte=0).distinct()


SEARCHES = [
    lambda rows: with_books(rows.annotate(rank=RANK)).order_by("-rank", "name", "pk"),
    lambda rows: with_books(rows.alias(rank=RANK)).order_by("-rank", "pk"),
    lambda rows: with_books(rows).order_by(RANK.desc(), "-pk"),
    lambda rows: with_books(rows).order_by(Length("email"), F("publisher__name").desc(), "pk"),
    lambda rows: with_books(rows).order_by("publisher", "-name", "pk").reverse(),
    lambda rows: with_books(rows.annotate(rank=Upper("publisher__name"))).order_by("rank", "pk"),
    lambda rows: rows.annotate(rank=RANK).order_by("-rank", "-pk").distinct(),
    lambda rows: rows.annotate(rank=Window(RowNumber(), order_by="pk")).distinct(),
    lambda rows: with_books(rows.annotate(rank=RawSQL("3", []))).order_by("rank", "name", "pk"),
    lambda rows: with_books(rows.annotate(name_again=F("name"))).exclude(Q(name_again="x")),
]


@pytest.mark.parametrize("search", SEARCHES)
def test_rows_come_as_the_search_orders_them(library, export, get_shown, show, search):
    show(search=search)
    shown = get_shown(Author, "q=x")
    assert [int(key) for (key,) in export(Author, query="q=x")[1:]] == shown
    assert shown


def test_the_annotations_are_those_of_the_search(library, export, get_shown, show):
    show(
        rows=lambda: Author.objects.annotate(rank=Value(0)),
        search=lambda rows: with_books(rows.annotate(rank=RANK)).order_by("-rank", "pk"),
        list_display=("name", show_rank),
    )
    rows = export(Author, query="q=x", columns=["id", "rank"])[1:]
    assert [int(key) for key, _ in rows] == get_shown(Author, "q=x")
    assert {rank for _, rank in rows} == {"1", "2"}


def test_a_search_drops_the_doubles_of_the_rows(library, export, get_shown, show):
    show(rows=lambda: Author.objects.filter(books__pages__gte=0), search=with_books)
    shown = get_shown(Author, "q=x")
    assert [int(key) for (key,) in export(Author, query="q=x")[1:]] == shown
    assert len(shown) == len(set(shown))


def test_doubles_that_the_page_shows_are_in_the_file(library, export, get_shown, show):
    show(rows=lambda: Author.objects.filter(books__pages__gte=0))
    shown = get_shown(Author)
    assert [int(key) for (key,) in export(Author)[1:]] == shown
    assert len(shown) > len(set(shown))


@pytest.mark.parametrize(
    "search",
    [
        lambda rows: rows.annotate(title=F("books__title")).distinct(),
        lambda rows: rows.annotate(title=Upper("books__title")).distinct(),
        lambda rows: rows.annotate(title=RawSQL("testapp_book.title", [])).filter(
            books__pages__gte=0
        ),
        lambda rows: with_books(rows).order_by("books__title"),
        lambda rows: with_books(rows).order_by(Length("books__title").desc()),
        lambda rows: rows.order_by("books__title").distinct(),
        lambda rows: with_books(
            rows.annotate(number=Window(RowNumber(), partition_by="publisher"))
        ),
    ],
)
def test_rows_that_distinct_does_not_name_once_are_refused(library, ask, show, search):
    show(search=lambda rows: search(rows).distinct())
    with pytest.raises(OtherRows, match="once for each value"):
        ask(Author, query="q=x")

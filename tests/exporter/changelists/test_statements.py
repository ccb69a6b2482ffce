from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.db.models import F, Q, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now
from django.utils import timezone

from django_infra.exporter.changelists.statements import MAX_MOMENTS, Statement, get_time
from django_infra.exporter.exceptions import InvalidParams, OtherRows
from testapp.models import Author, Book, Everything

pytestmark = pytest.mark.django_db


def read(made):
    """Return the statement of rows, or of a function that makes them."""
    since = get_time()
    rows = made() if callable(made) else made
    return Statement.read(rows, since=since, until=get_time())


def find_fault(first, second):
    try:
        first.check(second)
    except OtherRows as error:
        return str(error)
    return None


SAME = [
    lambda: Author.objects.all(),
    lambda: Author.objects.none(),
    lambda: Author.objects.filter(name="a").order_by("-pk")[3:9],
    lambda: Author.objects.filter(Q(name="2026-01-02") | Q(books__pages__gt=3)).distinct(),
    lambda: Author.objects.filter(pk__in=Book.objects.filter(pages__in=[3, 1]).values("author")),
    lambda: Author.objects.annotate(one=Value(Decimal("1.50")), now=Now()),
    lambda: Author.objects.annotate(text=RawSQL("'100%%, (' || %s", ["%s, (%%)"])),
    lambda: Author.objects.filter(name__in=["a,b", "(", "')", "%s", '"', "`"]),
    lambda: Author.objects.filter(pk__lt=3).union(Author.objects.filter(pk__gt=9)),
    lambda: (
        Everything.objects.filter(json__contains={"a": [1]})
        if connection.vendor == "postgresql"
        else Everything.objects.filter(json={"a": [1]})
    ),
    lambda: Book.objects.filter(published_at__lte=timezone.now()),
    lambda: Book.objects.filter(published_at__lte=timezone.now().replace(microsecond=0)),
]


@pytest.mark.parametrize("make", SAME)
def test_a_query_that_is_made_anew_is_the_same(make):
    first = read(make)
    assert find_fault(first, read(make)) is None
    assert find_fault(Statement.load(json.loads(json.dumps(first.dump()))), read(make)) is None


DIFFERENT = [
    (Author.objects.filter(name="a"), Author.objects.filter(name="b")),
    (Author.objects.filter(pk=1), Author.objects.filter(pk=2)),
    (Author.objects.all(), Author.objects.none()),
    (Author.objects.order_by("pk"), Author.objects.order_by("-pk")),
    (Author.objects.all()[:3], Author.objects.all()[:4]),
    (Author.objects.filter(pk__in=[1, 2]), Author.objects.filter(pk__in=[1, 2, 3])),
    (Author.objects.filter(pk__in=[1, 2]), Author.objects.filter(pk__in=[1, 3])),
    (
        Author.objects.filter(Q(name__in=["a", "b"]) & Q(email__in=["c", "d"])),
        Author.objects.filter(Q(name__in=["a", "c"]) & Q(email__in=["b", "d"])),
    ),
    (
        Author.objects.filter(name="2026-01-02 03:04:05"),
        Author.objects.filter(name="2026-01-02 03:04:09"),
    ),
    (Author.objects.filter(name="2026-01-02"), Author.objects.filter(name="2026-01-03")),
    (Author.objects.filter(name="2026-01-02"), Author.objects.filter(name="x")),
    (
        Author.objects.annotate(one=Value(Decimal("1.5"))),
        Author.objects.annotate(one=Value(Decimal("1.6"))),
    ),
    (Everything.objects.filter(json={"a": 1}), Everything.objects.filter(json={"a": 2})),
    (Author.objects.filter(name=F("email")), Author.objects.filter(name=F("name"))),
]


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_a_query_with_another_literal_is_another(first, second):
    assert find_fault(read(first), read(second))


@pytest.mark.parametrize("field", ["name__in", "pk__in"])
def test_lists_of_in_are_sets(field):
    first, second = (Author.objects.filter(**{field: keys}) for keys in (["1", "2"], ["2", "1"]))
    assert find_fault(read(first), read(second)) is None


def test_the_order_of_other_lists_counts():
    first, second = (
        Author.objects.annotate(text=RawSQL("COALESCE(%s, %s)", keys))
        for keys in (["1", "2"], ["2", "1"])
    )
    assert find_fault(read(first), read(second))


@pytest.mark.django_db(databases=["default", "other"])
def test_the_same_query_of_another_database_is_another():
    fault = find_fault(read(Author.objects.all()), read(Author.objects.using("other")))
    assert fault == "the rows would be read from the database 'other' and not from 'default'"


class Drawing:
    def db_for_read(self, model, **hints):
        return random.choice(["default", "other"])


class Fixed:
    def db_for_read(self, model, **hints):
        return "other"


@pytest.mark.django_db(databases=["default", "other"])
def test_a_router_may_draw_lots_among_replicas(settings):
    settings.DATABASE_ROUTERS = [Drawing()]
    drawn = read(Author.objects.all())
    assert all(find_fault(drawn, read(Author.objects.all())) is None for _ in range(10))
    settings.DATABASE_ROUTERS = []
    fixed = read(Author.objects.all())
    assert find_fault(drawn, fixed) is None
    assert "the database 'other'" in find_fault(fixed, drawn)
    settings.DATABASE_ROUTERS = [Fixed()]
    assert "the database 'other'" in find_fault(fixed, read(Author.objects.all()))


@pytest.mark.parametrize(
    "sql",
    [
        "COALESCE('\\') OR (%s', %s)",
        "'it)s' || %s || %s",
        '"na)me" || %s || %s',
        "%s) IN (%s",
        "1) || %s || (%s",
        "') || %s || %s",
    ],
)
def test_what_is_quoted_somehow_is_compared_too(sql):
    """However SQL is read, no literal and no word of it is left out."""
    made = [
        read(Author.objects.annotate(text=RawSQL(text, params)))
        for text in (sql, f"{sql} -- x")
        for params in (["1", "2"], ["1", "3"])
    ]
    assert len({each.digest for each in made}) == 4


def test_a_worker_may_begin_much_later():
    first = read(lambda: Book.objects.filter(published_at__lte=timezone.now()))
    hours = timedelta(hours=5, seconds=3)
    moved = read(lambda: Book.objects.filter(published_at__lte=timezone.now() + hours))
    later = replace(moved, since=moved.since + hours, until=moved.until + hours)
    assert find_fault(first, later) is None
    assert "has moved by 5:00:03" in find_fault(first, moved)


def test_yesterday_depends_on_the_date():
    today = timezone.localdate()
    first, second = (
        read(Book.objects.filter(published_at__date__gte=day))
        for day in (today, today + timedelta(days=1))
    )
    assert find_fault(first, second) == "the query depends on the date"


def test_many_dates_are_compared_and_not_carried():
    days = [f"2026-01-01 00:00:{number % 60:02}.{number}" for number in range(MAX_MOMENTS + 1)]
    statement = read(Author.objects.filter(name__in=days))
    assert statement.moments == ()
    assert find_fault(statement, read(Author.objects.filter(name__in=days[::-1]))) is None
    assert find_fault(statement, read(Author.objects.filter(name__in=[*days[1:], "x"])))


def set_session(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("search_path", "SET LOCAL search_path = elsewhere, public"),
        ("role", "SET LOCAL ROLE pg_monitor"),
        ("app.tenant", "SET LOCAL app.tenant = '3'"),
    ],
)
def test_another_session_finds_other_rows(settings, name, statement):
    settings.EXPORTER_SESSION_SETTINGS = ["app.tenant", "@tenant"]
    first = read(Author.objects.all())
    set_session(statement)
    second = read(Author.objects.all())
    assert find_fault(first, second).startswith(f"{name!r} of the database session")
    # The row of a job tells nobody what a variable holds.
    assert "3" not in second.session.values()


@pytest.mark.only_on("mysql")
def test_another_variable_finds_other_rows(settings):
    settings.EXPORTER_SESSION_SETTINGS = ["app.tenant", "@tenant"]
    first = read(Author.objects.all())
    set_session("SET @tenant = 3")
    try:
        assert find_fault(first, read(Author.objects.all())).startswith("'@tenant' of the")
    finally:
        set_session("SET @tenant = NULL")


@pytest.mark.parametrize("data", [None, [], {}, "x", {"databases": ["default"]}])
def test_what_is_no_statement_is_refused(data):
    with pytest.raises(InvalidParams, match="cannot be read"):
        Statement.load(data)

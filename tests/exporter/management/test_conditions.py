from __future__ import annotations

import datetime
import io
import uuid
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F

from django_infra.exporter.management.conditions import read_condition
from django_infra.exporter.management.values import read_value
from testapp.models import Author, Book, Comic, Everything, Note, Publisher, Translation

UTC = datetime.UTC
KEY = uuid.UUID("12345678-1234-5678-1234-567812345678")
ROW = {
    "big": 2**40,
    "binary": b"\x00\xff",
    "boolean": True,
    "char": "red, green",
    "date": datetime.date(2020, 2, 29),
    "datetime": datetime.datetime(2020, 2, 29, 23, 30, tzinfo=UTC),
    "decimal": Decimal("1.5"),
    "duration": datetime.timedelta(days=1, hours=2),
    "floating": 0.5,
    "integer": 7,
    "ip": "10.0.0.1",
    "json": {"size": 7, "color": "red", "tags": ["a"], "is_new": True, "none": None},
    "reversed": "abc",
    "text": "line",
    "time": datetime.time(12, 30),
    "uuid": KEY,
}
OTHER = {
    "big": 1,
    "binary": b"\x01",
    "boolean": False,
    "char": "red",
    "date": datetime.date(2021, 1, 1),
    "datetime": datetime.datetime(2021, 1, 1, tzinfo=UTC),
    "decimal": Decimal("3"),
    "duration": datetime.timedelta(minutes=1),
    "floating": 4.5,
    "integer": 8,
    "ip": "::1",
    "json": {"size": 8, "color": "7", "tags": [], "is_new": False},
    "reversed": "cba",
    "text": "lines",
    "time": datetime.time(1, 30),
    "uuid": uuid.UUID(int=1),
}

FOUND = [
    "big=1099511627776",
    "binary=00ff",
    "binary__in=00FF,02",
    *[f"boolean={word}" for word in ("true", "True", "YES", "on", "1", "t", "y")],
    "boolean__in=yes",
    "char=red, green",
    'char__in="red, green",blue',
    "char__contains=,",
    "char__range=red!,s",
    "date=2020-02-29",
    "date__year=2020",
    "date__year__lt=2021",
    "date__in=2020-02-29,1999-01-01",
    "date__range=2020-01-01,2020-12-31",
    "datetime=2020-02-29T23:30:00Z",
    "datetime=2020-03-01 00:30+01:00",
    "datetime=2020-02-29 23:30",
    "datetime__date=2020-02-29",
    "datetime__hour=23",
    "datetime__lt=2020-03-01",
    "datetime__range=2020-02-29,2020-03-01",
    "decimal=1.50",
    "decimal__lt=2",
    "decimal__in=1.5,9",
    "duration=1 02:00:00",
    "duration=P1DT2H",
    "duration=93600",
    "duration__gt=00:01:00",
    "duration__in=1 02:00:00,5",
    "duration__range=3600,P2D",
    "floating=.5",
    "floating__lt=1e0",
    "integer=7",
    "integer__in=7, 9",
    "integer__range=1,7",
    "integer__contains=7",
    "ip=10.0.0.1",
    "json__size=7",
    "json__size__in=7,70",
    "json__size__lt=8",
    'json__color="red"',
    'json__color__in="red","blue"',
    "json__color__icontains=RE",
    'json__tags=["a"]',
    'json__tags__0="a"',
    "json__is_new=true",
    "json__none=null",
    "json__none__isnull=no",
    "json__has_key=none",
    "json__has_keys=none,size",
    'json={"size": 7, "color": "red", "tags": ["a"], "is_new": true, "none": null}',
    "reversed=abc",
    "text=line",
    "text__regex=e$",
    "time=12:30",
    "time__gt=02:00",
    f"uuid={KEY}",
    f"uuid={KEY.hex.upper()}",
    f"uuid__in={KEY},{uuid.UUID(int=5)}",
]

UNREADABLE = [
    ("big=1.5", "must be an integer"),
    ("big=1_0", "not a whole number"),
    ("binary=xyz", "hexadecimal"),
    ("boolean=", "one of 'true', 'yes'"),
    ("boolean=maybe", "one of 'true', 'yes'"),
    ("boolean__isnull=maybe", "one of 'true', 'yes'"),
    ("boolean__in=yes,maybe", "one of 'true', 'yes'"),
    ('char__in="red', "not a list with commas"),
    ("char__in=a\nb", "not a list with commas"),
    ("char__range=a,b,c", "a range has two values"),
    ("date=29.2.2020", "invalid date format"),
    ("date=2021-02-29", "invalid date"),
    ("date=", "it is empty"),
    ("date__year=MMXX", "must be an integer"),
    ("datetime=yesterday", "invalid format"),
    ("datetime=0001-01-01", "date value out of range"),
    ("datetime__date=x", "invalid date format"),
    ("decimal=1,5", "must be a decimal number"),
    ("decimal=NaN", "must be a decimal number"),
    ("decimal=1_0", "not a number"),
    ("decimal=0.12345678901", "no more than 10 decimal places"),
    ("decimal=1e25", "no more than"),
    ("duration=long", "invalid format"),
    ("duration__gte=", "it is empty"),
    ("duration__in=1,long", "invalid format"),
    ("floating=nan", "not a number"),
    ("floating=x", "must be a float"),
    ("integer=", "must be an integer"),
    ("integer__in=1,,2", "must be an integer"),
    ("integer__in=[1]", "must be an integer"),
    ("ip=10.0.0.256", "valid IPv4 or IPv6 address"),
    ("ip=", "not an IP address"),
    ("json=red", "not JSON, where a text has double quotes"),
    ("json__color=red", "not JSON, where a text has double quotes"),
    ("json__color__in=red,blue", "not JSON"),
    ("json__size=NaN", "not JSON"),
    ("json__size=" + 10_000 * "[", "not JSON"),
    ("time=noon", "invalid format"),
    ("uuid=1", "not a valid UUID"),
    ("uuid__in=1,2", "not a valid UUID"),
]


def run(model, *conditions, columns="id", **options):
    """Return the lines that the command exports."""
    output = io.BytesIO()
    text = io.TextIOWrapper(output)
    filters = [word for each in conditions for word in ("--filter", each)]
    try:
        call_command(
            "export_queryset", model, "--values", columns, "--output=-", *filters, stdout=text
        )
    finally:
        text.detach()
    return output.getvalue().decode().splitlines()[1:]


@pytest.mark.django_db
@pytest.mark.parametrize("condition", FOUND)
def test_a_value_is_read_as_the_field_means_it(condition):
    row = Everything.objects.create(**ROW)
    Everything.objects.create(**OTHER)

    assert run("testapp.Everything", condition) == [str(row.pk)]


@pytest.mark.django_db
@pytest.mark.parametrize(("condition", "reason"), UNREADABLE)
def test_a_value_that_cannot_be_read_is_an_error(condition, reason):
    key, _, text = condition.partition("=")

    with pytest.raises(CommandError) as caught:
        run("testapp.Everything", condition)

    message = str(caught.value)
    assert message.startswith(f"Cannot read {text!r} of --filter {key}: ")
    assert reason in message
    assert message.endswith(".")


@pytest.mark.django_db
def test_what_no_row_has_is_no_error():
    Everything.objects.create(**ROW)
    assert run("testapp.Everything", f"integer={2**70}") == []
    assert run("testapp.Everything", "json__size=8") == []


@pytest.mark.django_db
def test_a_time_is_in_the_current_zone(settings):
    row = Everything.objects.create(**ROW)
    settings.TIME_ZONE = "Asia/Tokyo"
    assert run("testapp.Everything", "datetime=2020-03-01 08:30") == [str(row.pk)]


def test_a_project_without_time_zones_has_its_own(settings):
    settings.USE_TZ, settings.TIME_ZONE = False, "Asia/Tokyo"
    field = Everything._meta.get_field("datetime")
    assert read_value(field, "2020-02-29T23:30:00Z") == datetime.datetime(2020, 3, 1, 8, 30)
    assert read_value(field, "2020-03-01 08:30") == datetime.datetime(2020, 3, 1, 8, 30)


@pytest.mark.django_db
def test_relations_are_compared_by_the_key_that_they_hold():
    publisher = Publisher.objects.create(name="A")
    author = Author.objects.create(name="B", publisher=publisher)
    book = Comic.objects.create(title="C", author=author)
    book.editors.add(author)
    Author.objects.create(name="D")
    key = author.pk
    for condition in (
        f"publisher={publisher.pk}",
        f"publisher__in={publisher.pk},{publisher.pk + 1}",
        "publisher__isnull=off",
        f"books={book.pk}",
        f"books__comic={book.pk}",
        "books__comic__isnull=f",
        f"edited_books__in={book.pk}",
        "books__title=C",
        f"pk={key}",
    ):
        assert run("testapp.Author", condition) == [str(key)], condition
    for condition in ("publisher=x", "publisher__in=1,x", "books=x", "books__comic=x", "pk=x"):
        with pytest.raises(CommandError, match=r"Cannot read '.*x'.* must be an integer"):
            run("testapp.Author", condition)


@pytest.mark.django_db
def test_a_composite_key_is_read_by_its_parts():
    book = Book.objects.create(title="C", author=Author.objects.create(name="B"))
    for language in ("en", "de", "fr"):
        Translation.objects.create(book=book, language=language)
    key = book.pk

    columns = "language"
    assert run("testapp.Translation", f"pk={key},en", columns=columns) == ["en"]
    found = run("testapp.Translation", f"pk__in={key},en,{key},de", columns=columns)
    assert sorted(found) == ["de", "en"]
    for condition in ("pk=1", "pk=x,en", "pk__in=1,en,2"):
        with pytest.raises(CommandError, match="Cannot read"):
            run("testapp.Translation", condition, columns=columns)


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["nope", "nope__gt", "text__nope", "author__nope", ""])
def test_what_is_no_lookup_is_an_error_of_its_own(key):
    with pytest.raises(CommandError, match=r"Cannot resolve|Unsupported lookup|must have the form"):
        run("testapp.Note", f"{key}=1")
    assert not Note.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["--filter", "--param"])
def test_bytes_that_are_no_text_are_an_error(name):
    with pytest.raises(CommandError, match=r"'text=\\udcff' is not text in UTF-8"):
        call_command("export_queryset", "testapp.Note", "--values=id", f"{name}=text=\udcff")


@pytest.mark.django_db
def test_an_annotation_is_read_as_its_output_field():
    row = Everything.objects.create(**ROW)
    queryset = Everything.objects.annotate(took=F("duration") + F("duration"))

    assert queryset.filter(read_condition(queryset, "took", "2 04:00:00")).get() == row
    with pytest.raises(CommandError, match=r"Cannot read 'x' of --filter took"):
        read_condition(queryset, "took", "x")


if connection.vendor == "postgresql":
    from testapp.models import PostgresEverything

    @pytest.fixture
    def row(db):
        PostgresEverything.objects.create(array=["z"], matrix=[[5]], hstore={"b": "1"})
        return PostgresEverything.objects.create(
            array=["a", "b,c", None],
            matrix=[[1, 2], [3, None]],
            decimals=[Decimal("1.10")],
            hstore={"a": "1", "n": None},
            numbers=(1, 9),
            times=(datetime.datetime(2020, 1, 1, tzinfo=UTC), None),
        )

    @pytest.mark.parametrize(
        "condition",
        [
            'array=["a", "b,c", null]',
            'array__contains=a,"b,c"',
            'array__contains=["a"]',
            "array__overlap=x,a",
            "array__len=3",
            "array__0=a",
            "array__0__in=a,b",
            'array__in=[["a", "b,c", null], ["q"]]',
            "matrix=[[1, 2], [3, null]]",
            "matrix__0__1=2",
            "matrix__contains=[[1, 2]]",
            "decimals=1.1",
            "decimals=[1.10]",
            "hstore__a=1",
            "hstore__has_key=n",
            "hstore__has_keys=n,a",
            "hstore__has_any_keys=q,a",
            'hstore__contains={"a": "1"}',
            'hstore={"a": "1", "n": null}',
            "hstore__keys__contains=n",
            "numbers=1,9",
            "numbers=[1,8]",
            "numbers__contains=8",
            "numbers__contains=[2,4)",
            "numbers__contained_by=(0,]",
            "numbers__overlap=(,1]",
            "numbers__startswith=1",
            "numbers__fully_lt=9,",
            "numbers__isempty=no",
            "times__contains=2020-02-01",
            "times__upper_inf=yes",
            "times=[2020-01-01 00:00Z,)",
        ],
    )
    def test_types_of_postgresql_are_read_too(row, condition):
        assert run("testapp.PostgresEverything", condition) == [str(row.pk)]

    @pytest.mark.parametrize(
        ("condition", "reason"),
        [
            ("array=[a]", "not a list in JSON"),
            ("array__len=x", "must be an integer"),
            ("array__in=a,b", "not a list in JSON"),
            ('array__in=["a"]', "an array is a list"),
            ("matrix=1,2", "an array is a list"),
            ("matrix=[[1, 2.5]]", "must be an integer"),
            ("decimals=x", "must be a decimal number"),
            ("hstore__contains=a", "not JSON"),
            ('hstore={"a": 1}', 'as in {"name": "text"}'),
            ("numbers=1", "as in [1,9)"),
            ("numbers=[1,9", "both of its brackets"),
            ("numbers=9,1", "above its upper"),
            ("numbers__contains=x", "must be an integer"),
            ("numbers__startswith=x", "must be an integer"),
            ("times__contains=x", "invalid format"),
            ("id__contained_by=1,9", "use __range"),
        ],
    )
    def test_types_of_postgresql_are_refused_too(row, condition, reason):
        with pytest.raises(CommandError) as caught:
            run("testapp.PostgresEverything", condition)
        assert str(caught.value).startswith("Cannot read ")
        assert reason in str(caught.value)

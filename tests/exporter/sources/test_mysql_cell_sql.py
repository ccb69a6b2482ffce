"""What MariaDB makes of a value is byte for byte what Python makes of it."""

from __future__ import annotations

import pytest
from django.db import connection, models, transaction
from django.db.models import Case, F, Value, When
from django.db.models.expressions import RawSQL

from django_infra.exporter.export import export_queryset
from generated import given, st
from testapp.models import Everything, Odd, Publisher

pytestmark = [
    pytest.mark.only_on("mysql"),
    pytest.mark.django_db,
]

# Literals of values in each column, in a session that lets impossible ones in.
VALUES = {
    "boolean": ["0", "1", "2", "-1"],
    "date": [
        "'2020-02-29'",
        "'1000-01-01'",
        "'9999-12-31'",
        "'0001-01-01'",
        "'0000-01-01'",
        "'0000-00-00'",
        "'2020-00-10'",
        "'2020-02-00'",
    ],
    "datetime": [
        "'2020-02-29 12:30:15'",
        "'2020-02-29 12:30:15.000001'",
        "'9999-12-31 23:59:59.999999'",
        "'0001-01-01 00:00:00.5'",
        "'0000-01-01 00:00:00'",
        "'0000-00-00'",
        "'2020-00-10 12:00:00'",
        "'2020-02-00 12:00:00'",
    ],
    "time": [
        "'00:00:00'",
        "'23:59:59.999999'",
        "'12:30:15.5'",
        "'24:00:00'",
        "'-00:00:01'",
        "'-00:00:00.000001'",
        "'838:59:59'",
    ],
    "decimal": ["0", "-0.0000000001", "1.5", "99999999999999999999.9999999999", "-1"],
    "floating": ["0", "-0.0", "1e15", "1e16", "1.5", "1e-5", "123456789012345678"],
    "integer": ["0", "-1", "2147483647"],
    "char": ["''", "'=1'", "'-1'", "'a,b'", "'\"'", "'\\r'", "'\\\\.'"],
    "uuid": ["REPLACE('0190b9a0-1111-7222-8333-123456789abc', '-', '')"],
}


@pytest.fixture
def lenient(db):
    """Let the session take any value."""
    with connection.cursor() as cursor:
        cursor.execute("SET @before = @@sql_mode, sql_mode = 'ALLOW_INVALID_DATES'")
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET sql_mode = @before")


def check_column(column, export_both_ways, literals):
    with transaction.atomic():
        with connection.cursor() as cursor:
            for literal in literals:
                cursor.execute(f"INSERT INTO testapp_everything (`{column}`) VALUES ({literal})")
        qs = Everything.objects.order_by("pk").annotate(computed=F(column), constant=Value(1))
        for names in ([column], ["id", column, "computed", "constant"]):
            by_server, by_python = export_both_ways(qs, names)
            assert by_server == by_python
        transaction.set_rollback(True)


@pytest.mark.parametrize("is_aware", [True, False], ids=["aware", "naive"])
@pytest.mark.parametrize(
    ("column", "literal"), [(column, each) for column in VALUES for each in VALUES[column]]
)
def test_any_value_in_any_column(lenient, export_both_ways, settings, column, literal, is_aware):
    settings.USE_TZ = is_aware
    good = VALUES[column][0]
    check_column(column, export_both_ways, [good, "NULL", literal, good])


@pytest.mark.parametrize("column", VALUES)
def test_any_values_together(lenient, export_both_ways, column):
    @given(st.lists(st.sampled_from(["NULL", *VALUES[column]]), max_size=5))
    def check(literals):
        check_column(column, export_both_ways, literals)

    check()


TYPES = {
    "DECIMAL(20, 6)": (models.DecimalField(max_digits=20, decimal_places=6), "-1.5"),
    "DECIMAL(20, 7)": (models.DecimalField(max_digits=20, decimal_places=7), "0.0000001"),
    "DECIMAL(3, 1)": (models.IntegerField(), "1.5"),
    "DECIMAL(3, 2)": (models.FloatField(), "1.50"),
    "DATETIME(3)": (models.DateTimeField(), "2020-01-01 00:00:00.5"),
    "DATETIME(0)": (models.CharField(max_length=1), "2020-01-01 00:00:00"),
    "TIME(1)": (models.TimeField(), "12:00:00.5"),
    "CHAR(36)": (models.UUIDField(), "0190B9A0-1111-7222-8333-123456789ABC"),
    "SIGNED": (models.BooleanField(), "1"),
    "DOUBLE": (models.DecimalField(max_digits=9, decimal_places=2), "1.10"),
}


@pytest.mark.parametrize("type_", TYPES)
def test_a_field_may_lie_about_the_type(export_both_ways, type_):
    Publisher.objects.create(name="one")
    field, literal = TYPES[type_]
    qs = Publisher.objects.annotate(v=RawSQL(f"CAST(%s AS {type_})", [literal], output_field=field))

    by_server, by_python = export_both_ways(qs, ["id", "v"])

    assert by_server == by_python


ODD_COLUMNS = {
    "uuid": [
        ("VARCHAR(40)", "'0190B9A0111172228333123456789ABC'"),
        ("VARCHAR(40)", "'{0190b9a0-1111-7222-8333-123456789abc}'"),
        ("VARCHAR(40)", "''"),
        ("VARCHAR(40)", "'no'"),
        ("BINARY(16)", "UNHEX('0190b9a0111172228333123456789abc')"),
        ("BINARY(36)", "'0190b9a0-1111-7222-8333-123456789abc'"),
    ],
    "decimal": [("DECIMAL(10, 2) ZEROFILL", "1.5"), ("VARCHAR(9)", "'1.50'"), ("DOUBLE", "1.5")],
    "boolean": [("TINYINT(3) ZEROFILL", "5"), ("VARCHAR(9)", "'1'"), ("DECIMAL(3, 1)", "1")],
}


@pytest.mark.parametrize(
    ("column", "type_", "literal"),
    [(column, *each) for column in ODD_COLUMNS for each in ODD_COLUMNS[column]],
)
def test_a_table_may_have_other_types_than_the_model(export_both_ways, column, type_, literal):
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE testapp_odd (id INT, `{column}` {type_})")
        cursor.execute(f"INSERT INTO testapp_odd VALUES (1, {literal})")
    try:
        by_server, by_python = export_both_ways(Odd.objects.all(), ["id", column])
        assert by_server == by_python
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TEMPORARY TABLE testapp_odd")


def test_an_expression_is_computed_once(export_both_ways):
    Everything.objects.bulk_create(Everything() for _ in range(10))
    with connection.cursor() as cursor:
        cursor.execute("SET @calls = 0")
    column = RawSQL("NULLIF((@calls := @calls + 1), @calls)", [], models.BooleanField())

    export_queryset(Everything.objects.annotate(column=column), ["id", "column"])

    with connection.cursor() as cursor:
        cursor.execute("SELECT @calls")
        assert cursor.fetchone() == (10,)


def test_the_server_formats_what_it_can(export_both_ways, get_path):
    Everything.objects.create(date="2020-01-01", boolean=True)

    export_both_ways(Everything.objects.order_by("date"), ["id", "date", "boolean"])
    assert get_path() == "sql"

    export_both_ways(Everything.objects.order_by("date").distinct(), ["id", "date"])
    assert get_path() == "python"


@pytest.mark.parametrize("ordering", ["date", "-datetime", "computed", "-computed", "flag"])
def test_the_ordering_is_by_values(export_both_ways, ordering):
    Everything.objects.bulk_create(
        Everything(date=f"20{day}-01-01", boolean=day % 2, datetime=f"2020-01-{day} 00:00Z")
        for day in (19, 10, 12, 11)
    )
    qs = Everything.objects.annotate(
        computed=F("date"), flag=Case(When(boolean=True, then=False), default=True)
    )

    by_server, by_python = export_both_ways(
        qs.order_by(ordering, "pk"), ["id", "date", "datetime", "computed", "flag"]
    )

    assert by_server == by_python

"""SQLite keeps anything in any column: what its texts become is what Python makes of them."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from django.db import connection, connections, transaction
from django.db.models import DecimalField, ExpressionWrapper, F, Sum
from django.utils import timezone

from generated import given, st
from testapp.models import Everything

pytestmark = [
    pytest.mark.only_on("sqlite"),
    pytest.mark.django_db,
]

# Raw values of each column: such as Django writes, and such as it does not but may have to read.
VALUES = {
    "boolean": [0, 1, 2, -1, 0.5, "1", "", "true", b"1"],
    "date": [
        "2020-02-29",
        "0001-01-01",
        "9999-12-31",
        "20200229",
        "2020-W09-6",
        "2020-2-9",
        "2021-02-29",
        "2020-02-29 00:00:00",
        "2020-02-29\n",
        "today",
        "",
        20200229,
        2020.5,
        b"2020-02-29",
    ],
    "datetime": [
        "2020-02-29 12:30:15",
        "2020-02-29 12:30:15.000001",
        "2020-02-29 12:30:15.999999",
        "0001-01-01 00:00:00",
        "9999-12-31 23:59:59.999999",
        "2020-02-29 12:30:15.000000",
        "2020-02-29 12:30:15.5",
        "2020-02-29T12:30:15",
        "2020-02-29 12:30",
        "2020-02-29",
        "2020-02-29 12:30:15+02:00",
        "2020-02-29 12:30:15.1+0100",
        "2020-13-29 12:30:15",
        "2021-02-29 12:30:15",
        "2020-02-29 24:00:00",
        "2020-02-29 12:30:15\n2020-02-29 12:30:15",
        "2020-02-29 12:30:15,000001",
        "٢٠٢٠-02-29 12:30:15",
        "now",
        "",
        1582979415,
        2458909.5,
        b"2020-02-29 12:30:15",
    ],
    "time": [
        "12:30:15",
        "12:30:15.000001",
        "00:00:00",
        "23:59:59.999999",
        "12:30:15.000000",
        "12:30",
        "12:30:15.5",
        "24:00:00",
        "12:30:61",
        "T12:30:15",
        "noon",
        123015,
        b"12:30:15",
    ],
    "uuid": [
        "0190b9a0111172228333123456789abc",
        "0190B9A0111172228333123456789ABC",
        "0190b9a0-1111-7222-8333-123456789abc",
        "{0190b9a0-1111-7222-8333-123456789abc}",
        "urn:uuid:0190b9a0-1111-7222-8333-123456789abc",
        "0190b9a0111172228333123456789ab",
        "0190b9a0111172228333123456789abg",
        " 190b9a0111172228333123456789abc",
        "",
        1,
        b"0190b9a0111172228333123456789abc",
    ],
    "decimal": [
        0,
        1,
        -1,
        12.5,
        -0.0,
        1e-11,
        1e-7,
        0.1,
        123456789.123456789,
        2**53 + 1,
        10**17,
        1e22,
        1e300,
        "1.5",
        "NaN",
        float("inf"),
        b"1",
    ],
    "integer": [1, -1, 1.5, "1", "=1+1", "-x", b"ab", 2**62],
    "floating": [1, 1.5, -0.0, 1e22, float("inf"), "1.5", "=x", b"ab"],
    "char": ["", "=1", "-1", 1, 1.5, b"\xff", "a,b", '"', "\r"],
    "text": ["", "＝1", "@", "\ufeff", 1, "\\."],
}
NUMBERS = st.one_of(
    st.floats(allow_nan=False),
    st.decimals(-(10**13), 10**13, places=2).map(float),
    st.decimals(-(10**5), 10**5, places=6).map(float),
    st.integers(-(2**63), 2**63 - 1),
)


def insert(column, values):
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO testapp_everything ({column}) VALUES (%s)", [(value,) for value in values]
        )


def check_column(column, export_both_ways, values, expression=None):
    with transaction.atomic():
        insert(column, values)
        qs = Everything.objects.order_by("pk").annotate(computed=expression or F(column))
        for names in ([column], ["id", column, "computed"]):
            by_text, by_value = export_both_ways(qs, names)
            assert by_text == by_value
        transaction.set_rollback(True)


@pytest.mark.parametrize("is_aware", [True, False], ids=["aware", "naive"])
@pytest.mark.parametrize(
    ("column", "value"), [(column, value) for column in VALUES for value in VALUES[column]]
)
def test_any_value_in_any_column(export_both_ways, settings, column, value, is_aware):
    settings.USE_TZ = is_aware
    good = VALUES[column][0]
    check_column(column, export_both_ways, [good, None, value, good])


@pytest.mark.parametrize("column", VALUES)
def test_any_values_together(export_both_ways, column):
    @given(st.lists(st.none() | st.sampled_from(VALUES[column]), max_size=5))
    def check(values):
        check_column(column, export_both_ways, values)

    check()


@pytest.mark.parametrize("places", [0, 2, 6, 7])
@pytest.mark.parametrize("digits", [5, 15, 30])
def test_any_number_in_a_decimal_column(export_both_ways, monkeypatch, places, digits):
    field = Everything._meta.get_field("decimal")
    monkeypatch.setattr(field, "decimal_places", places)
    monkeypatch.setattr(field, "max_digits", digits)
    field.__dict__.pop("context", None)
    output_field = DecimalField(max_digits=30, decimal_places=2)
    computed = ExpressionWrapper(F("decimal") + 0, output_field=output_field)

    @given(st.lists(NUMBERS, max_size=5))
    def check(values):
        check_column("decimal", export_both_ways, values, computed)

    try:
        check()
    finally:
        field.__dict__.pop("context", None)


@pytest.mark.parametrize("column", VALUES)
def test_nothing_but_nulls(export_both_ways, column):
    output_field = Everything._meta.get_field(column).clone()
    check_column(column, export_both_ways, [None], ExpressionWrapper(F(column), output_field))
    check_column(column, export_both_ways, [None] * 20)


def test_sums_of_nothing(export_both_ways):
    """The first chunk is one row."""
    insert("integer", [1, 2, 3])
    qs = Everything.objects.annotate(total=Sum("decimal")).order_by("pk")

    by_text, by_value = export_both_ways(qs, ["integer", "total"])

    assert by_text == by_value == b"integer,total\r\n1,\r\n2,\r\n3,\r\n"


@pytest.fixture
def in_berlin(db, monkeypatch):
    """Have the database keep datetimes in another zone than UTC."""
    wrapper = connections["default"]
    monkeypatch.setitem(wrapper.settings_dict, "TIME_ZONE", "Europe/Berlin")
    monkeypatch.setattr(wrapper, "timezone_name", "Europe/Berlin")
    monkeypatch.setattr(wrapper, "timezone", ZoneInfo("Europe/Berlin"))


def test_datetimes_of_another_zone_are_left_to_django(in_berlin, export_both_ways):
    insert("datetime", ["2020-07-01 12:00:00"])

    by_text, by_value = export_both_ways(Everything.objects.all(), ["datetime"])

    assert by_text == by_value == b"datetime\r\n2020-07-01 12:00:00+02:00\r\n"


def test_the_active_zone_makes_no_difference(export_both_ways):
    insert("datetime", ["2020-07-01 12:00:00"])
    with timezone.override("Europe/Berlin"):
        by_text, by_value = export_both_ways(Everything.objects.all(), ["datetime"])

    assert by_text == by_value == b"datetime\r\n2020-07-01 12:00:00+00:00\r\n"


@pytest.mark.parametrize("ordering", ["date", "-datetime", "computed", "-computed", "total"])
def test_the_ordering_is_by_values(export_both_ways, ordering):
    insert("date", ["2020-02-29", "20200101", None, "2019-12-31"])
    insert("datetime", ["2020-02-29 12:30:15", "2020-02-29 12:30:15.000001"])
    qs = Everything.objects.annotate(computed=F("date"), total=Sum("decimal"))

    by_text, by_value = export_both_ways(
        qs.order_by(ordering, "pk"), ["id", "date", "datetime", "computed"]
    )

    assert by_text == by_value

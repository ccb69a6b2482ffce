"""What PostgreSQL makes of a value is byte for byte what Python makes of it."""

from __future__ import annotations

import sys

import pytest
from django.db import connection, models, transaction
from django.db.models.expressions import RawSQL

from exporter.writers.guarding import texts as guarded_texts
from generated import example, given, st
from testapp.models import Publisher

pytestmark = [
    pytest.mark.only_on("postgresql"),
    pytest.mark.django_db,
]

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
nasty_texts = st.sampled_from(
    ["", " ", "\\.", "\\", "\\N", '"', '""', ",", "\r", "\n", "\r\n", "NULL", "\ufeff", "\u2028"]
)
formulas = st.builds(
    str.__add__,
    st.sampled_from("=+-@\t\r\n＝＋－＠\ufeff'"),
    texts | st.from_regex(r"[0-9]{0,3}(\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?\n?", fullmatch=True),
)


dates = st.one_of(
    st.dates().map(str),
    st.builds(
        "{:04}-{:02}-{:02}{}".format,
        st.integers(1, 4000) | st.integers(9990, 100_000),
        st.integers(1, 12),
        st.integers(1, 28),
        st.sampled_from(["", "", " BC"]),
    ),
)
fractions = st.one_of(
    st.just(""),
    st.integers(0, 999_999).map(".{:06}".format),
    st.sampled_from([".5", ".000001", ".999999", ".999995", ".100000", ".000010", ".999990"]),
)
times = st.builds(
    "{:02}:{:02}:{:02}{}".format,
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(0, 59),
    fractions,
)
zones = st.sampled_from(["+00", "+02", "-07:30", "+14", "-12"])
odd_times = st.sampled_from(["24:00:00", "23:59:59.9999999", "00:00:00"])
odd_dates = st.sampled_from(
    ["infinity", "-infinity", "0001-01-01", "0001-01-01 BC", "9999-12-31", "10000-01-01"]
)
odd_datetimes = st.sampled_from(
    [
        "infinity",
        "-infinity",
        "9999-12-31 23:59:59.999999+00",
        "10000-01-01 00:00:00+00",
        "0001-01-01 00:00:00+00",
        "0001-12-31 23:59:59.999999+00 BC",
        "294276-12-31 23:59:59.999999+00",
        "4713-01-01 00:00:00+00 BC",
        "1900-01-01 00:00:00+00",
    ]
)
datetimes = st.builds("{} {}{}".format, st.dates().map(str), times, zones)
floats = st.one_of(
    st.floats(),
    st.floats(1e14, 1e23) | st.floats(-1e17, -1e15),
    st.builds(
        lambda digits, zeros: float(digits * 10**zeros), st.integers(1, 10**17), st.integers(1, 24)
    ),
    st.integers(2**53, 2**140).map(float),
    st.sampled_from(
        [1e15, 1e16, 1e22, 1e23, -0.0, 0.0001, 0.00001, 5e-324, sys.float_info.max, 0.1]
    ),
    st.decimals(-(10**6), 10**6, places=3).map(float),
).map(repr)
numbers = st.one_of(
    st.decimals(-(10**30), 10**30, places=12, allow_nan=False).map("{:f}".format),
    st.decimals(-1, 1, places=16, allow_nan=False).map("{:f}".format),
    st.sampled_from(["NaN", "0", "0.0000000", "0.000000", "-0.0000001", "1e40", "1e-20"]),
)

# Each type with the texts of its values: all that it can hold, and what Python cannot.
TYPES = {
    "boolean": st.sampled_from(["t", "f"]),
    "bytea": st.binary(max_size=20).map(lambda data: "\\x" + data.hex()),
    "smallint": st.integers(-(2**15), 2**15 - 1).map(str),
    "integer": st.integers(-(2**31), 2**31 - 1).map(str),
    "bigint": st.integers(-(2**63), 2**63 - 1).map(str),
    "text": texts | nasty_texts | formulas | guarded_texts,
    "varchar(30)": (texts | guarded_texts).map(lambda text: text[:30]) | nasty_texts,
    "double precision": floats,
    "date": dates | odd_dates,
    "time": times | odd_times,
    "timestamp": st.builds("{} {}".format, st.dates().map(str), times) | odd_datetimes,
    "timestamptz": datetimes | odd_datetimes,
    "numeric": numbers,
    "numeric(40, 10)": st.decimals(-(10**20), 10**20, places=10, allow_nan=False).map(
        "{:f}".format
    ),
    "numeric(10, 2)": st.decimals(-(10**7), 10**7, places=2, allow_nan=False).map("{:f}".format),
    "uuid": st.uuids().map(str),
    "inet": st.one_of(
        st.ip_addresses().map(str),
        st.builds("{}/{}".format, st.ip_addresses(v=4), st.integers(0, 32)),
        st.builds("{}/{}".format, st.ip_addresses(v=6), st.integers(0, 128)),
        st.integers(0, 2**32 - 1).map(lambda number: f"::ffff:{number >> 16:x}:{number & 65535:x}"),
    ),
}
# Types that have no form, so that nothing is lost by whom they are mistaken for.
OTHER_TYPES = {
    "real": st.floats(width=32).map(repr),
    "char(5)": st.sampled_from(["", "a", "ab   ", " ", "=1"]),
    "interval": st.sampled_from(["1 day", "-1 day 02:00", "1 mon", "00:00:00.5", "3 years -1 sec"]),
    "json": st.sampled_from(['{"a":  1.50}', "[1,2]", '"x"', "null", "1e5"]),
    "jsonb": st.sampled_from(['{"a":  1.50}', "[1,2]", '"x"', "null", "1e5"]),
    "cidr": st.sampled_from(["192.168.0.1", "10.0.0.0/8", "::1"]),
    "name": st.sampled_from(["", "a", "=1"]),
    "timetz": st.sampled_from(["12:00+02", "23:59:59.5-03:30"]),
    "money": st.sampled_from(["1.50", "-1"]),
    "bit(3)": st.just("101"),
    "xml": st.just("<a/>"),
    "point": st.just("(1,2)"),
    "int4range": st.sampled_from(["[1,5)", "empty"]),
}
SESSION = {
    "standard_conforming_strings": ["on", "on", "off"],
    "DateStyle": ["ISO, MDY", "ISO, DMY", "SQL, DMY", "German", "Postgres, MDY"],
    "IntervalStyle": ["postgres", "iso_8601", "sql_standard"],
    "TimeZone": ["UTC", "UTC", "Europe/Berlin", "Asia/Kolkata", "Etc/UTC", "America/Caracas"],
    "extra_float_digits": ["1", "3", "0", "-15"],
    "bytea_output": ["hex", "escape"],
    "lc_numeric": ["C", "POSIX"],
}
sessions = st.fixed_dictionaries({name: st.sampled_from(each) for name, each in SESSION.items()})


@pytest.fixture
def publisher(db):
    return Publisher.objects.create(name="one")


def select_values(type_, values):
    """Return a queryset whose column v holds the values, given as texts, and NULL."""
    column = RawSQL(
        f"unnest(%s::text[])::{type_}", [[*values, None]], output_field=models.CharField()
    )
    return Publisher.objects.annotate(v=column)


def set_session(session):
    with connection.cursor() as cursor:
        for name, value in session.items():
            cursor.execute(f"SET LOCAL {name} = '{value}'")


@pytest.mark.sample(15)
@pytest.mark.parametrize("type_", [*TYPES, *OTHER_TYPES])
def test_both_paths_give_the_same_bytes_or_error(publisher, export_both_ways, get_path, type_):
    @given(st.lists((TYPES | OTHER_TYPES)[type_], max_size=6), st.booleans(), st.booleans())
    # With no value that Python has no object for, so that each path is taken.
    @example([], True, True)
    @example([], False, True)
    def check(values, is_alone, escape_formulas):
        with transaction.atomic():
            by_server, by_python = export_both_ways(
                select_values(type_, values),
                ["v"] if is_alone else ["id", "v", "name"],
                escape_formulas=escape_formulas,
            )
            assert by_server == by_python
            paths.add((get_path(), is_alone))
            transaction.set_rollback(True)

    paths = set()
    check()
    if type_ in OTHER_TYPES:
        expected = {("python", True), ("sql", False)}
    else:
        expected = {("sql" if type_ in {"text", "varchar(30)"} else "copy", True), ("copy", False)}
    assert expected <= paths


@pytest.mark.sample(15)
@pytest.mark.parametrize("type_", [*TYPES, *OTHER_TYPES])
def test_no_setting_of_the_session_makes_a_difference(publisher, export_both_ways, type_):
    @given(st.lists((TYPES | OTHER_TYPES)[type_], max_size=3), sessions)
    def check(values, session):
        with transaction.atomic():
            set_session(session)
            by_server, by_python = export_both_ways(select_values(type_, values), ["id", "v"])
            assert by_server == by_python
            transaction.set_rollback(True)

    check()

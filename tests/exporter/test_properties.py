"""Generated rows of every field type: the file is what csv.writer makes of values_list()."""

from __future__ import annotations

import datetime
import sys
from decimal import Decimal

import pytest
from django.db import connection, transaction

from django_infra.exporter.export import export_queryset
from exporter.conftest import read, write_expected
from exporter.writers.guarding import texts as guarded_texts
from exporter.writers.guarding import write_guarded
from generated import given, st
from testapp.models import Everything

is_postgresql = connection.vendor == "postgresql"
is_mysql = connection.vendor == "mysql"

FIELDS = [field.name for field in Everything._meta.concrete_fields]

# PostgreSQL keeps no NUL in text; lone surrogates are not UTF-8.
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
nasty_text = st.sampled_from(
    ["", " ", ",", '"', '""', "\r", "\n", "\r\n", "\\.", "\\N", "NULL", "=1+1", "\ufeff", "\u2028"]
)
floats = st.floats(allow_nan=is_postgresql, allow_infinity=is_postgresql).filter(
    # MariaDB has no number between zero and the least normal one.
    lambda number: not is_mysql or number == 0 or abs(number) >= sys.float_info.min
)
decimals = st.decimals(
    min_value=Decimal("-99999999999999999999"),
    max_value=Decimal("99999999999999999999"),
    places=10,
    allow_nan=False,
)
# SQLite keeps decimals as floating-point numbers, of 15 sure digits.
sqlite_decimals = st.decimals(min_value=-99999, max_value=99999, places=10, allow_nan=False)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | text
    | st.floats(-1e15, 1e15, allow_nan=False).filter(lambda n: n == 0 or abs(n) > 1e-300),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(text, children, max_size=3),
    max_leaves=5,
)
# MariaDB has no year before 1000, and Django moves datetimes to UTC and back.
datetimes = st.datetimes(
    datetime.datetime(1000, 1, 2), datetime.datetime(9999, 12, 30), timezones=st.just(datetime.UTC)
)
# MySQL's microseconds of a BIGINT.
durations = st.timedeltas(datetime.timedelta(days=-100_000), datetime.timedelta(days=100_000))

rows = st.fixed_dictionaries(
    {
        "big": st.none() | st.integers(-(2**63), 2**63 - 1),
        "binary": st.none() | st.binary(max_size=50),
        "boolean": st.none() | st.booleans(),
        "char": st.none() | nasty_text | text | guarded_texts,
        "date": st.none() | st.dates(min_value=datetime.date(1000, 1, 1)),
        "datetime": st.none() | datetimes,
        "decimal": st.none() | (sqlite_decimals if connection.vendor == "sqlite" else decimals),
        "duration": st.none() | durations,
        "floating": st.none() | floats,
        "integer": st.none() | st.integers(-(2**31), 2**31 - 1),
        "ip": st.none() | st.ip_addresses().map(str),
        "json": json_values,
        "reversed": st.none() | nasty_text | guarded_texts | text.map(lambda value: value[:90]),
        "text": st.none() | nasty_text | text | guarded_texts,
        "time": st.none() | st.times(),
        # MariaDB refuses some that are of no version.
        "uuid": st.none() | st.uuids(version=4),
    }
)


@pytest.mark.django_db
@given(st.lists(rows, min_size=1, max_size=5), st.permutations(FIELDS), st.integers(1, len(FIELDS)))
def test_any_row_is_written_as_csv_writer_writes_it(values, fields, width):
    names = fields[:width]
    with transaction.atomic():
        Everything.objects.bulk_create([Everything(**row) for row in values])
        qs = Everything.objects.order_by("pk")

        export = export_queryset(qs, names, options={"escape_formulas": False})
        guarded = export_queryset(qs, names)

        assert read(export) == write_expected(names, qs.values_list(*names))
        assert read(guarded) == write_guarded(names, qs.values_list(*names))
        transaction.set_rollback(True)


# Only texts are guarded, and each database reads them in its own way.
GUARDED_FIELDS = ["id", "integer", "char", "reversed", "text", "json"]


@pytest.mark.django_db
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "integer": st.none() | st.integers(-99, 99),
                "char": st.none() | guarded_texts,
                "reversed": st.none() | guarded_texts,
                "text": st.none() | guarded_texts,
                "json": st.none() | guarded_texts | st.lists(guarded_texts, max_size=2),
            }
        ),
        min_size=1,
        max_size=8,
    ),
    st.permutations(GUARDED_FIELDS),
    st.integers(1, len(GUARDED_FIELDS)),
    st.data(),
)
def test_any_text_is_guarded_alike(values, fields, width, data):
    names = fields[:width]
    # Headers are guarded as cells are, and no two may be alike.
    headers = [f"{data.draw(guarded_texts)} {name}" for name in names]
    with transaction.atomic():
        Everything.objects.bulk_create([Everything(**row) for row in values])
        qs = Everything.objects.order_by("pk")

        export = export_queryset(qs, dict(zip(names, headers, strict=True)))

        assert read(export) == write_guarded(headers, qs.values_list(*names))
        assert export.data_path == get_expected_path(names)
        transaction.set_rollback(True)


def get_expected_path(names):
    """Return how a database of ours reads these fields."""
    if not is_postgresql:
        return "sql" if is_mysql and {"id", "integer"} & set(names) else "python"
    if {"reversed", "json"} & set(names):
        return "sql" if set(names) - {"reversed", "json"} else "python"
    return "sql" if names in (["char"], ["text"]) else "copy"

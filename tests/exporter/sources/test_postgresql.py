from __future__ import annotations

import datetime
from decimal import Decimal

import pytest
from django.db import connection

from django_infra.exporter.columns import select
from django_infra.exporter.export import export_queryset
from django_infra.exporter.sources import get_source
from exporter.conftest import read
from testapp.models import Publisher

pytestmark = pytest.mark.only_on("postgresql")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_disabled", [False, True])
def test_rows_come_from_a_cursor_without_hold(is_disabled, settings):
    """WITH HOLD would write the whole result to the server's disk before the first row."""
    Publisher.objects.create(name="a")
    source = get_source(select(Publisher.objects.all(), ["name"]))
    connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] = is_disabled
    try:
        with source.open() as reading:
            next(reading.chunks)
            with connection.cursor() as cursor:
                cursor.execute("SELECT is_holdable FROM pg_cursors")
                assert cursor.fetchall() == [(False,)]
    finally:
        connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] = False


def test_arrays_hstore_and_ranges(db):
    from django.db.backends.postgresql.psycopg_any import DateTimeTZRange, NumericRange

    from testapp.models import PostgresEverything

    PostgresEverything.objects.create(
        array=["a", None, 'q"', "ü"],
        matrix=[[1, None], [2, 3]],
        decimals=[Decimal("1.50")],
        hstore={"k": "v", "n": None},
        numbers=NumericRange(1, 5),
        times=DateTimeTZRange(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), None),
    )
    PostgresEverything.objects.create()

    export = export_queryset(
        PostgresEverything.objects.order_by("id"),
        ["array", "matrix", "decimals", "hstore", "numbers", "times"],
    )

    assert read(export).decode().split("\r\n") == [
        "array,matrix,decimals,hstore,numbers,times",
        '"[""a"", null, ""q\\"""", ""ü""]","[[1, null], [2, 3]]","[""1.50""]",'
        '"{""k"": ""v"", ""n"": null}","[1, 5)","[2020-01-01 00:00:00+00:00, None)"',
        ",,,,,",
        "",
    ]

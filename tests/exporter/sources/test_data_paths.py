"""Which way data takes, that this is told, and that nobody else feels it."""

from __future__ import annotations

import logging
import time

import pytest
from django.db import DataError, connection, connections, transaction
from django.db.models import Count, Func, IntegerField, TextField, Value
from django.db.models.expressions import RawSQL

from django_infra.exporter.export import export_queryset
from django_infra.exporter.models import DataPath, QueryExport
from django_infra.exporter.writers.csv import CSVWriter
from exporter.conftest import read, write_expected
from exporter.faults.marks import needs_postgresql, needs_psycopg3
from exporter.faults.probes import fetch
from testapp.models import Author, Book, Everything, Publisher, Shout

pytest_plugins = ["exporter.faults.fixtures"]

FASTEST = {"postgresql": DataPath.COPY, "mysql": DataPath.SQL}.get(
    connection.vendor, DataPath.PYTHON
)
FORMED = DataPath.PYTHON if connection.vendor == "sqlite" else DataPath.SQL


@pytest.mark.django_db
def test_the_path_is_on_the_row_and_in_the_log(caplog):
    Everything.objects.create(integer=1, date="2020-01-01", json={})
    caplog.set_level(logging.DEBUG, "django_infra.exporter")

    whole = export_queryset(Everything.objects.all(), ["integer", "date"])
    mixed = export_queryset(Everything.objects.all(), {"date": "Day", "json": "Data"})

    assert QueryExport.objects.get(pk=whole.pk).data_path == whole.data_path == FASTEST
    assert QueryExport.objects.get(pk=mixed.pk).data_path == mixed.data_path == FORMED
    assert f"{mixed.id} reads through {FORMED.label}" in caplog.text
    assert "columns whose cells are made in Python: 'Data'." in caplog.text


@pytest.mark.django_db
def test_the_path_of_a_failure_is_on_the_row(settings):
    Everything.objects.create(integer=0)
    settings.EXPORTER_STORAGE = "broken"
    settings.STORAGES = {
        **settings.STORAGES,
        "broken": {"BACKEND": "exporter.faults.storages.BreakingStorage"},
    }
    with pytest.raises(ConnectionError, match="line went dead"):
        export_queryset(Everything.objects.all(), ["integer", "date"])

    assert QueryExport.objects.get().data_path == FASTEST


@pytest.mark.django_db
def test_a_queryset_that_makes_its_rows_itself_is_left_alone():
    Shout.objects.create(text="a")

    assert export_queryset(Shout.objects.all(), ["text"]).data_path == DataPath.PYTHON


@pytest.mark.only_on("sqlite")
def test_an_odd_value_makes_the_export_begin_again(authors, spy, media_root):
    rows = [Everything(integer=number, date="2020-01-01") for number in range(50)]
    Everything.objects.bulk_create(rows)
    odd = Everything.objects.get(integer=40)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_everything SET date = '20200229' WHERE id = %s", [odd.pk])
    chunks = []
    spy(chunks.append)

    export = export_queryset(Everything.objects.order_by("pk"), ["integer", "date"], "odd.csv")

    expected = [(row.integer, row.date) for row in rows]
    expected[40] = (40, "2020-02-29")
    assert (media_root / "odd.csv").read_bytes() == write_expected(["integer", "date"], expected)
    assert export.row_count == 50
    # 1, 10, 10, 10 and the 10 that hold it, and then all of them.
    assert len(chunks) == 4 + 6


@needs_psycopg3
@pytest.mark.django_db(transaction=True)
def test_a_value_beyond_a_form_fails_as_ever_and_leaves_the_connection_usable():
    Everything.objects.bulk_create(Everything(integer=number) for number in range(30))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_everything SET date = 'infinity' WHERE integer = 16")

    with pytest.raises(Exception, match="infinity"):
        export_queryset(Everything.objects.order_by("pk"), ["integer", "date"])

    export = QueryExport.objects.get()
    assert "exporter has no form" not in export.error_log
    assert export.data_path == DataPath.PYTHON
    assert not connection.in_atomic_block


@needs_postgresql
@pytest.mark.parametrize("is_inside", [True, False], ids=["inside", "outside"])
@pytest.mark.django_db(transaction=True)
def test_the_session_stays_as_it_was(is_inside):
    Publisher.objects.create(name="one")
    settings = "SELECT name, setting FROM pg_settings ORDER BY name"
    before = fetch(connection, settings)
    if not is_inside:
        assert export_queryset(Publisher.objects.all(), ["id", "name"]).data_path == "copy"
        assert fetch(connection, settings) == before
        return
    with transaction.atomic():
        before = fetch(connection, settings)
        assert export_queryset(Publisher.objects.all(), ["id", "name"]).data_path == "copy"
        assert fetch(connection, settings) == before


@needs_postgresql
@pytest.mark.django_db
def test_a_computed_column_is_computed_once_for_a_row():
    Publisher.objects.bulk_create(Publisher(name=str(number)) for number in range(20))
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY SEQUENCE counted")
    column = RawSQL("nextval('counted')::float8 / 4", [])
    qs = Publisher.objects.annotate(quarter=column).order_by("id")

    export = export_queryset(qs, ["id", "quarter"])

    assert export.data_path == DataPath.COPY
    expected = [
        (pk, number / 4) for number, pk in enumerate(qs.values_list("pk", flat=True), start=1)
    ]
    assert read(export) == write_expected(["id", "quarter"], expected)


@needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_time_limit_of_statements_is_not_that_of_the_export(spy, media_root):
    """COPY is one statement, whose time goes on while the file is written."""
    Publisher.objects.bulk_create(Publisher(name="x" * 200) for _ in range(20_000))
    spy(lambda number: time.sleep(0.05), chunk_size=1000)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 500")
    try:
        export = export_queryset(Publisher.objects.all(), ["id", "name"])
    finally:
        connection.close()

    assert export.state == "success"
    assert export.data_path != DataPath.COPY
    assert export.row_count == 20_000


class MaskingWriter(CSVWriter):
    def format_cells(self, values):
        return ["***" for _ in values]


@pytest.mark.django_db
def test_a_writer_with_cells_of_its_own_makes_all_of_them(settings):
    settings.EXPORTER_FORMATS = {"csv": {"BACKEND": f"{__name__}.MaskingWriter"}}
    Everything.objects.create(integer=1, date="2020-01-01", text="secret", boolean=True)

    export = export_queryset(Everything.objects.all(), ["integer", "date", "text", "boolean"])

    assert read(export) == b"***,***,***,***\r\n***,***,***,***\r\n"
    assert export.data_path == DataPath.PYTHON


@needs_postgresql
@pytest.mark.django_db
def test_wrappers_of_statements_see_the_export_s():
    def look_elsewhere(execute, sql, params, many, context):
        sql = sql.replace('FROM "testapp_publisher"', 'FROM "testapp_author" "testapp_publisher"')
        return execute(sql, params, many, context)

    Publisher.objects.create(name="publisher")
    Author.objects.create(name="author")
    with connection.execute_wrapper(look_elsewhere):
        export = export_queryset(Publisher.objects.all(), {"name": "name", "one": Value(1)})

    assert read(export) == b"name,one\r\nauthor,1\r\n"
    assert export.data_path == DataPath.SQL


@needs_postgresql
@pytest.mark.django_db
@pytest.mark.parametrize("width", [1599, 1660])
def test_as_many_columns_as_the_server_takes(width):
    Publisher.objects.create(name="one")
    qs = Publisher.objects.annotate(**{f"c{number}": Value(number) for number in range(width)})
    values = [f"c{number}" for number in range(width)]

    export = export_queryset(qs, values)

    assert read(export).decode().splitlines()[1] == ",".join(map(str, range(width)))


@needs_postgresql
@pytest.mark.django_db
def test_functions_of_a_project_are_not_mistaken_for_the_server_s():
    publisher = Publisher.objects.create(name="plain")
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA project")
        cursor.execute(
            "CREATE FUNCTION project.ascii(varchar) RETURNS int LANGUAGE sql AS 'SELECT 61'"
        )
        cursor.execute("SET LOCAL search_path = project, public")

    assert read(export_queryset(Publisher.objects.all(), ["name", "id"])).endswith(
        f"\r\nplain,{publisher.pk}\r\n".encode()
    )


@needs_postgresql
@pytest.mark.django_db
def test_an_error_that_looks_like_a_form_s_is_the_query_s():
    Publisher.objects.create(name="one")
    column = RawSQL("('exporter has no form for ' || name)::int", [], IntegerField())

    with pytest.raises(DataError, match="exporter has no form for one"):
        export_queryset(Publisher.objects.annotate(column=column), ["id", "column"])


@needs_postgresql
@pytest.mark.django_db(databases=["default", "other"], transaction=True)
def test_a_connection_without_autocommit_keeps_its_settings(monkeypatch):
    other = connections["other"]
    Publisher.objects.using("other").create(name="there")
    other.close()
    monkeypatch.setitem(other.settings_dict, "AUTOCOMMIT", False)
    try:
        export_queryset(Publisher.objects.using("other"), ["id", "name"])
        assert fetch(other, "SHOW jit") == [("on",)]
    finally:
        other.close()


@needs_postgresql
@pytest.mark.django_db
def test_locked_rows_and_composite_keys_are_left_to_django(library):
    locked = export_queryset(Book.objects.select_for_update(), ["id", "pages"])
    grouped = export_queryset(
        Book.objects.values("author").annotate(n=Count("id")).order_by("author"), ["author", "n"]
    )

    assert locked.data_path == DataPath.PYTHON
    assert grouped.data_path == DataPath.COPY


@needs_psycopg3
@pytest.mark.django_db
def test_a_loader_of_the_project_s_own_is_asked():
    from psycopg.types.numeric import FloatLoader

    Everything.objects.create(decimal="1.5")
    connection.ensure_connection()
    adapters = connection.connection.adapters
    before = adapters.get_loader(1700, 0)
    adapters.register_loader("numeric", FloatLoader)
    try:
        export = export_queryset(Everything.objects.all(), ["integer", "decimal"])
    finally:
        adapters.register_loader("numeric", before)

    assert read(export) == b"integer,decimal\r\n,1.5\r\n"
    assert export.data_path == DataPath.SQL


@needs_psycopg3
@pytest.mark.django_db
def test_parameters_that_the_server_binds_go_through_a_cursor(library, monkeypatch):
    monkeypatch.setattr(connections["default"].features, "uses_server_side_binding", True)
    qs = Book.objects.annotate(sign=Value("100%")).order_by("id")

    export = export_queryset(qs, ["id", "sign"])

    assert export.data_path == DataPath.SQL
    assert read(export) == write_expected(["id", "sign"], qs.values_list("id", "sign"))


@needs_postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, SystemExit, OSError])
def test_an_export_that_is_left_half_way_ends_the_query(error, spy, remains):
    """Each row takes the server a while, so that to read the rest would take minutes."""
    Publisher.objects.bulk_create(Publisher(name=str(number)) for number in range(10_000))
    nap = Func(Value(0.02), template="pg_sleep(%(expressions)s)::text", output_field=TextField())
    large = Func(Value("x"), Value(8000), function="repeat", output_field=TextField())

    def leave(number):
        if number == 2:
            raise error

    spy(leave)
    started = time.monotonic()
    with pytest.raises(error):
        export_queryset(Publisher.objects.annotate(nap=nap, large=large), ["id", "nap", "large"])

    assert fetch(connection, "SELECT 1") == [(1,)]
    assert time.monotonic() - started < 60
    assert remains() == []


@pytest.mark.django_db
def test_a_lone_text_is_ordered_by_another_column(library):
    qs = Author.objects.order_by("-name", "id")

    assert read(export_queryset(qs, ["name"])) == write_expected(["name"], qs.values_list("name"))

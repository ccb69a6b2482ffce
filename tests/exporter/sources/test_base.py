from __future__ import annotations

import threading
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest
from django.db import Error, connection, connections
from django.db.models import CharField, Count, Value

from django_infra.exporter.columns import select
from django_infra.exporter.export import export_queryset
from django_infra.exporter.sources import base, get_source
from django_infra.exporter.sources.base import CHUNK_BYTES, Source
from exporter.conftest import read, write_expected
from exporter.faults.probes import PATIENCE, STALLING
from exporter.writers.guarding import write_guarded
from testapp.models import Author, Book, Publisher, Translation


def read_all(source):
    with source.open() as reading:
        return [row for rows in reading for row in rows]


def test_generic_source_reads_from_any_database(library):
    """The base class serves the databases that have no source of their own."""
    qs = Translation.objects.order_by("pk")

    source = Source(select(qs, ["pk", "title", "book__data"]), chunk_size=10)

    assert read_all(source) == list(qs.values_list("pk", "title", "book__data"))


def test_rows_come_in_chunks_of_at_most_the_size(db):
    Publisher.objects.bulk_create([Publisher(name=str(number)) for number in range(25)])
    source = get_source(select(Publisher.objects.order_by("id"), ["name"]))
    source.chunk_size = source.fetch_size = 10

    with source.open() as reading:
        assert [len(rows) for rows in reading] == [10, 10, 5]


def test_pace_rises_while_rows_are_small_and_falls_when_they_are_large(db):
    source = get_source(select(Publisher.objects.all(), ["name"]))

    sizes = []
    for size in (100, 1000, 10_000, 100_000):
        source.pace(rows=source.fetch_size, size=size)
        sizes.append(source.fetch_size)
    assert sizes == [10, 100, 500, 500]

    source.pace(rows=500, size=500 * CHUNK_BYTES)
    assert source.fetch_size == 1

    source.pace(rows=1, size=0)
    assert source.fetch_size == 10


def test_pace_falls_when_rows_take_long(db, monkeypatch):
    clock = SimpleNamespace(now=0)
    monkeypatch.setattr(base, "time", SimpleNamespace(monotonic=lambda: clock.now))
    source = get_source(select(Publisher.objects.all(), ["name"]))
    for seconds, expected in [(0, 10), (0.2, 20), (0.2, 40), (2, 20), (0, 200), (0, 500)]:
        clock.now += seconds
        source.pace(rows=source.fetch_size, size=1)
        assert source.fetch_size == expected


def test_count_is_that_of_the_rows(library):
    qs = Book.objects.values("author").annotate(n=Count("id"))

    assert get_source(select(qs, ["author", "n"])).count() == len(qs)


def test_count_after_reading_a_union_ordered_by_another_column(library):
    union = Book.objects.filter(pages__lt=20).union(Book.objects.filter(pages__gt=40), all=True)
    source = get_source(select(union.order_by("pages", "id"), ["title"]))

    assert len(read_all(source)) == source.count() == len(read_all(source))


def test_half_read_result_leaves_the_connection_usable(library):
    source = get_source(select(Book.objects.all(), ["id"]))
    with suppress(RuntimeError), source.open() as reading:
        assert len(next(reading.chunks)) == 1
        raise RuntimeError

    assert Book.objects.count() == len(library) + 1


@pytest.mark.django_db(transaction=True)
def test_interrupt_stops_a_count_from_another_thread():
    Publisher.objects.create(name="one")
    selection = select(Publisher.objects.extra(where=[STALLING[connection.vendor]]), ["name"])
    sources = []
    is_running = threading.Event()
    outcome = []

    def run():
        sources.append(source := get_source(selection))
        is_running.set()
        try:
            outcome.append(source.count())
        except Error as error:
            outcome.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    started = time.monotonic()
    thread.start()
    assert is_running.wait(PATIENCE)
    while thread.is_alive():
        sources[0].interrupt()
        thread.join(0.1)

    assert time.monotonic() - started < 30  # a quarter of what the count would take
    # MariaDB's SLEEP() returns 1 when it is interrupted, and the count goes on.
    assert isinstance(outcome[0], Error) or (connection.vendor == "mysql" and outcome == [0])


def test_interrupt_without_a_connection_does_nothing(db):
    source = get_source(select(Publisher.objects.all(), ["name"]))
    source.connection = connections["default"].copy()

    source.interrupt()

    assert source.connection.connection is None


@pytest.mark.parametrize("length", [1 << 20, (1 << 20) + 1, (2 << 20) + 5])
@pytest.mark.parametrize("special", ["", '"', ",", "\r", "\n", '""'])
def test_large_cells_are_written_as_csv_writer_writes_them(db, length, special):
    text = "é" * (length - 1) + special + "z"
    Author.objects.create(name="a,b", email="")
    qs = Author.objects.annotate(large=Value(text), none=Value(None, output_field=CharField()))
    values = ["name", "large", "email", "none"]

    export = export_queryset(qs, values)

    assert read(export) == write_expected(values, [("a,b", text, "", None)])


def test_large_cell_alone_in_its_row(db):
    Author.objects.create(name="a")
    text = "x" * ((1 << 20) + 1)

    export = export_queryset(Author.objects.annotate(large=Value(text)), ["large"])

    assert read(export) == f"large\r\n{text}\r\n".encode()


@pytest.mark.parametrize("start", ["", "="])
@pytest.mark.parametrize("end", ["", ";", "\t", ";=1", ',\t"-', "\n@", "\r-1", '";x'], ids=ascii)
@pytest.mark.parametrize("is_alone", [True, False])
def test_large_formula_is_escaped(db, start, end, is_alone):
    Author.objects.create(name="a;b", email="")
    text = start + "1" * (1 << 20) + end
    values = ["large"] if is_alone else ["name", "large", "email"]

    export = export_queryset(Author.objects.annotate(large=Value(text)), values)

    rows = [(text,)] if is_alone else [("a;b", text, "")]
    assert read(export) == write_guarded(values, rows)

"""Lines that a server has made get what it leaves to us of the formula guard."""

from __future__ import annotations

import csv
import io
import tracemalloc

import pytest

from django_infra.exporter.writers.csv import CSVWriter
from django_infra.exporter.writers.lines import guard_lines, needs_guard
from exporter.writers.guarding import guard, texts, write_guarded
from generated import example, given, st

plain_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
cells = st.none() | st.integers() | texts | plain_texts


def make_line(row):
    """Return what COPY makes of a row, whose cells are guarded at their start alone."""
    text = io.StringIO(newline="")
    csv.writer(text).writerow([guard_start(cell) for cell in row])
    return text.getvalue().removesuffix("\r\n").encode()


def guard_start(cell):
    is_guarded = isinstance(cell, str) and guard(cell)[:1] == "'" != cell[:1]
    return f"'{cell}" if is_guarded else cell


def write_lines(lines, *, escape_formulas=True):
    file = io.BytesIO()
    with CSVWriter(escape_formulas=escape_formulas).open_text(file, ["a"]) as text_file:
        text_file.write_lines(lines)
    return file.getvalue().removeprefix(b"a\r\n")


@given(st.integers(2, 5).flatmap(lambda width: st.lists(st.tuples(*[cells] * width), min_size=1)))
@example([("a;b", "c\td"), (-5, "x\n-5"), (-5, ";"), ("\t;\t", "\r\n"), (1, 'a"b;c'), ("é;", 1)])
def test_lines_are_as_if_their_texts_had_been_guarded(rows):
    lines = list(map(make_line, rows))
    expected = write_guarded([], rows).removeprefix(b"\r\n")
    assert guard_lines(lines) == expected
    assert write_lines(lines) == expected
    assert b"".join(write_lines([memoryview(line)]) for line in lines) == expected
    plain = [line + b"\r\n" for line in lines]
    assert write_lines(lines, escape_formulas=False) == b"".join(plain)
    # A line alone is not even copied where it has nothing to guard.
    for line, end in zip(lines, plain, strict=True):
        assert needs_guard(line) or guard_lines([line]) == end


@pytest.mark.parametrize("text", [";=", '";', '";"=', "\t@;", "\n=", "x;"])
@pytest.mark.parametrize("others", [(), ("a,b", -5)])
def test_a_long_text_takes_a_few_times_its_size(text, others):
    row = (*others, text * 2 * 10**5, *others, 1)
    line = make_line(row)
    tracemalloc.start()
    guarded = guard_lines([line])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert guarded == write_guarded([], [row]).removeprefix(b"\r\n")
    assert peak < 4 * len(guarded) + 8 * 10**6

from __future__ import annotations

import csv
import datetime
import io
import json
import math
from decimal import Decimal
from pathlib import Path

import pytest

from corpora import CSV_SPECTRUM, read_naughty_strings
from django_infra.exporter.writers.cells import FORMULA_TRIGGERS
from django_infra.exporter.writers.csv import CSVWriter
from django_infra.exporter.writers.lines import LARGE_CELL
from exporter.writers.guarding import divide, guard, is_formula, write_guarded
from exporter.writers.guarding import texts as guarded_texts
from generated import example, given, st
from ids import make_id


def write(*chunks, headers=("a", "b"), **options):
    file = io.BytesIO()
    options = {"escape_formulas": False} | options
    with CSVWriter(**options).open(file, headers) as write_rows:
        for rows in chunks:
            write_rows(rows)
    return file.getvalue()


def write_by_csv(rows):
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def write_plainly(headers, rows):
    return write_by_csv([headers, *rows])


def read(data):
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


# The file


def test_the_header_comes_first():
    assert write([(1, 2)]) == b"a,b\r\n1,2\r\n"


@pytest.mark.parametrize("chunks", [(), ([],), ([], [])])
def test_without_rows_there_is_the_header_alone(chunks):
    assert write(*chunks) == b"a,b\r\n"


def test_rows_come_in_chunks_of_any_number():
    rows = [(number, str(number)) for number in range(7)]
    assert (
        write(rows[:1], [], rows[1:5], rows[5:]) == write(rows) == write(*([row] for row in rows))
    )


def test_rows_may_be_lists_and_chunks_tuples():
    assert write(([1, 2], (3, 4))) == b"a,b\r\n1,2\r\n3,4\r\n"


def test_text_is_utf8_without_a_byte_order_mark():
    assert write([("é", "😀")], headers=["ü", "書"]) == "ü,書\r\né,😀\r\n".encode()


def test_quotes_are_put_where_they_must_be():
    row = ("a,b", 'a"b', "a\nb", "a\rb", "a\r\nb", " a ", "a'b", "a\tb", "a;b", "")
    assert write([row], headers="abcdefghij") == (
        b'a,b,c,d,e,f,g,h,i,j\r\n"a,b","a""b","a\nb","a\rb","a\r\nb", a ,a\'b,a\tb,a;b,\r\n'
    )


def test_headers_are_quoted_as_cells_are():
    assert write(headers=['a"', "b,c", "d\r\n", "", "1"]) == b'"a""","b,c","d\r\n",,1\r\n'


@pytest.mark.parametrize("value", [None, "", b"", memoryview(b"")], ids=make_id)
def test_a_single_empty_cell_is_a_row_all_the_same(value):
    data = write([(value,), ("x",), (value,)], headers=["a"])
    assert data == b'a\r\n""\r\nx\r\n""\r\n'
    assert read(data) == [["a"], [""], ["x"], [""]]


def test_a_single_empty_header_is_a_row_all_the_same():
    assert write([(1,)], headers=[""]) == b'""\r\n1\r\n'


def test_none_and_empty_text_look_the_same():
    assert write([(None, ""), ("", None)]) == b"a,b\r\n,\r\n,\r\n"


def test_null_characters_and_strange_line_ends_are_text():
    cells = ("a\0b", "\x85\u2028\u2029\v\f\x1c\ufeff")
    data = write([cells])
    assert data == write_by_csv([("a", "b"), cells])
    assert read(data)[1] == list(cells)


@pytest.mark.parametrize("text", ["x", 'é"', "a,b\r\n", "😀", "=1+1,"])
@pytest.mark.parametrize("length", [LARGE_CELL, LARGE_CELL + 1, 3 * LARGE_CELL + 2])
@pytest.mark.parametrize("escape_formulas", [True, False])
def test_a_large_cell_is_what_csv_writes(text, length, escape_formulas):
    cell = (text * length)[:length]
    rows = [(cell, None), ("", cell), (1, 'a,"\r\n'), (cell, cell), (None, None)]
    data = write(rows, escape_formulas=escape_formulas)
    write_expected = write_guarded if escape_formulas else write_plainly
    assert data == write_expected(["a", "b"], rows)


@pytest.mark.parametrize("others", [[], [None], [""], [5], [{}], [None, "", "x"]], ids=str)
def test_a_single_column_with_a_large_cell_is_what_csv_writes(others):
    rows = [(cell,) for cell in [*others, "x" * (LARGE_CELL + 1), *others]]
    assert write(rows, headers=["a"]) == write_by_csv([("a",), *rows])


def test_a_large_header_is_what_csv_writes():
    header = '",' * LARGE_CELL
    assert write(headers=[header, "b"]) == write_by_csv([(header, "b")])


def test_many_columns_are_whole():
    headers = [f"c{number}" for number in range(2000)]
    data = write([range(2000), [None] * 2000], headers=headers)
    assert read(data) == [headers, list(map(str, range(2000))), [""] * 2000]


def test_the_file_is_left_open():
    file = io.BytesIO()
    with CSVWriter().open(file, ["a"]):
        pass
    assert not file.closed


def test_the_content_type_is_csv():
    assert CSVWriter.content_type == "text/csv; charset=utf-8"


# Options


@pytest.mark.parametrize("value", ["", "no", 0, 1, [], object()])
def test_the_guard_is_on_or_off(value):
    with pytest.raises(ValueError, match="escape_formulas must be True or False, not "):
        CSVWriter(escape_formulas=value)


def test_there_is_no_other_option():
    with pytest.raises(TypeError, match="delimiter"):
        CSVWriter(delimiter=";")


@pytest.mark.parametrize("setting", [True, False])
def test_the_setting_is_the_default(settings, setting):
    settings.EXPORTER_ESCAPE_FORMULAS = setting
    assert CSVWriter().escape_formulas is setting
    assert CSVWriter(escape_formulas=None).escape_formulas is setting


def test_the_guard_covers_cells_and_headers():
    data = write(
        [("=1+1", "-5"), ("x", "-5\n"), (["=1"], -5)],
        headers=["=1+1", "@b"],
        escape_formulas=True,
    )
    assert data == b'\'=1+1,\'@b\r\n\'=1+1,-5\r\nx,"\'-5\n"\r\n"[""=1""]",-5\r\n'


def test_with_the_guard_texts_are_quoted_for_programs_that_divide_otherwise():
    row = ("a;b", "a\tb", ["a;b"], ";=1", "\t", "a;-1", "-1")
    data = write([row], headers=["a;", "\t@", "c", "d", "e", "f", "g"], escape_formulas=True)
    assert data.decode().split("\r\n") == [
        '"a;","\'\t\'@",c,d,e,f,g',
        '"a;b","a\tb","[""a;b""]",";\'=1","\'\t","a;\'-1",-1',
        "",
    ]
    assert write([row], headers="abcdefg") == write_by_csv(
        ["abcdefg", [*row[:2], '["a;b"]', *row[3:]]]
    )


def read_examples():
    """Read the table of texts and cells from the page that says the rule."""
    page = (Path(__file__).parents[3] / "docs/cells.md").read_text()
    _, _, table = page.partition("| text | cell |\n| --- | --- |\n")
    rows, _, _ = table.partition("\n\n")
    return [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in rows.splitlines()]


@pytest.mark.parametrize(("text", "cell"), read_examples())
def test_the_examples_of_the_docs(text, cell):
    assert write([("1", text)], escape_formulas=True).decode() == f"a,b\r\n1,{cell}\r\n"


@pytest.mark.parametrize("delimiter", [*";\t|", ","])
@pytest.mark.parametrize("honours_quotes", [True, False])
@pytest.mark.parametrize("escape_formulas", [True, False])
def test_no_piece_is_a_formula_however_a_program_divides(
    delimiter, honours_quotes, escape_formulas
):
    """However a program divides; only quotes tell a text's comma from our delimiter, though."""
    texts = guarded_texts
    if delimiter == "," and not honours_quotes:
        texts = texts.filter(lambda text: "," not in text)

    @given(tables(texts | st.integers() | st.none()))
    @example((["a", "b"], [("x", "x;=1+1"), ("x", "x\t=1+1"), ("x", "x\r=1+1"), ("=1", "=1")]))
    @example((["a", "b"], [("x", 'x";"=1+1;y'), (-5, '"\n"=1\n'), ("x;", '"=1'), (";", "\t=1")]))
    def find_formulas(table):
        headers, rows = table
        data = write(rows, headers=headers, escape_formulas=escape_formulas)
        pieces = divide(data.decode(), delimiter, honours_quotes=honours_quotes)
        found.extend(filter(is_formula, pieces))

    found = []
    find_formulas()
    assert bool(found) is not escape_formulas


@pytest.mark.parametrize("end", ["\n", "\r\n", "|"], ids=ascii)
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_rules_of_a_dialect_stay_with_the_guard(end, quoting):
    class UnknownDialect(csv.excel):
        lineterminator = end
        skipinitialspace = True

    class Writer(CSVWriter):
        dialect = UnknownDialect

    UnknownDialect.quoting = quoting
    rows = [(1, "a;b"), (2, "a\t=1"), (3, "x"), (4, ";")]
    file = io.BytesIO()
    with Writer(escape_formulas=True).open(file, ["a", "b;=1"]) as write_rows:
        write_rows(rows)
    lines = file.getvalue().decode().split(end)
    names, x = ('"a"', '"x"') if quoting else ("a", "x")
    number = '"{}"' if quoting == csv.QUOTE_ALL else "{}"
    cells = [(names, '"b;\'=1"'), ("1", '"a;b"'), ("2", '"a\t\'=1"'), ("3", x), ("4", '";"')]
    expected = [f"{number.format(n) if n.isdigit() else n},{text}" for n, text in cells]
    assert lines == [*expected, ""]


def test_a_header_that_is_a_number_is_spared():
    assert write(headers=["-5", "+1"], escape_formulas=True) == b"-5,+1\r\n"


def test_without_the_guard_nothing_is_escaped():
    assert write([("=1+1", "\t")], headers=["=a", "+b"]) == b"=a,+b\r\n=1+1,\t\r\n"


# Corpora


def test_naughty_strings_are_what_csv_writes_and_come_back():
    strings = read_naughty_strings()
    for rows in ([(string,) for string in strings], [strings], [(s, s[::-1]) for s in strings]):
        headers = [str(number) for number in range(len(rows[0]))]
        data = write(rows, headers=headers)
        assert data == write_by_csv([headers, *rows])
        assert read(data) == [headers, *map(list, rows)]


def test_naughty_strings_are_harmless_with_the_guard():
    strings = read_naughty_strings()
    data = write([(string,) for string in strings], headers=["a"], escape_formulas=True)
    cells = [cell for (cell,) in read(data)[1:]]
    assert cells == list(map(guard, strings))
    for cell in cells:
        if cell[:1] in FORMULA_TRIGGERS:
            float(cell)
            assert cell.isascii()
            assert cell == cell.strip()


def test_naughty_strings_may_be_headers():
    strings = read_naughty_strings()
    assert read(write(headers=strings)) == [strings]
    guarded = write(headers=strings, escape_formulas=True)
    assert read(guarded) == [list(map(guard, strings))]


SPECTRUM = [
    "comma_in_quotes",
    "empty",
    "empty_crlf",
    "escaped_quotes",
    "json",
    "newlines",
    "quotes_and_newlines",
    "simple",
    "simple_crlf",
    "utf8",
]


@pytest.mark.parametrize("name", SPECTRUM)
def test_the_csv_spectrum_comes_back(name):
    headers, *rows = read((CSV_SPECTRUM / f"csvs/{name}.csv").read_bytes())
    data = write(rows, headers=headers)
    assert read(data) == [headers, *rows]
    expected = json.loads((CSV_SPECTRUM / f"json/{name}.json").read_text())
    assert [dict(zip(headers, row, strict=True)) for row in read(data)[1:]] == expected


# Errors


class Broken:
    def __str__(self):
        raise ZeroDivisionError("secret")


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        (Broken(), ZeroDivisionError),
        ([Broken()], ZeroDivisionError),
        ("\ud800", UnicodeEncodeError),
        (["\udfff"], UnicodeEncodeError),
        ({"\ud800": 1}, UnicodeEncodeError),
    ],
    ids=["str", "nested str", "surrogate", "nested surrogate", "surrogate key"],
)
@pytest.mark.parametrize("chunk_size", [1, 2, 5])
@pytest.mark.parametrize("escape_formulas", [True, False])
def test_an_error_notes_the_row_and_the_column(cell, error, chunk_size, escape_formulas):
    rows = [("x", 1), ("x", 2), ("x", cell), (cell, 4), ("x", 5)]
    chunks = [rows[start : start + chunk_size] for start in range(0, 5, chunk_size)]
    with pytest.raises(error) as caught:
        write(*chunks, headers=["first", "the second"], escape_formulas=escape_formulas)
    assert caught.value.__notes__ == ["Row 3, column 'the second'."]


@pytest.mark.parametrize("size", [10, LARGE_CELL + 1])
@pytest.mark.parametrize("cell", ["{}\ud800", "\ud800{}"], ids=ascii)
def test_an_error_is_noted_for_cells_of_any_size(cell, size):
    rows = [("x" * size, 1), (cell.format("x" * size), 2)]
    with pytest.raises(UnicodeEncodeError) as caught:
        write(rows)
    assert caught.value.__notes__ == ["Row 2, column 'a'."]


def test_an_error_of_the_system_in_a_cell_is_noted_too():
    class Missing:
        def __str__(self):
            raise FileNotFoundError("picture.png")

    with pytest.raises(FileNotFoundError) as caught:
        write([(1, Missing())])
    assert caught.value.__notes__ == ["Row 1, column 'b'."]


def test_an_error_comes_with_none_of_the_chunk_written():
    file = io.BytesIO()
    with CSVWriter().open(file, ["a"]) as write_rows:
        write_rows([("first",)])
        with pytest.raises(ZeroDivisionError):
            write_rows([("second",), (Broken(),)])
    assert file.getvalue() == b"a\r\nfirst\r\n"


def test_rows_that_do_not_fit_the_header_are_refused():
    for rows in ([(1, 2), (3,)], [(1, 2), (3, 4, 5)]):
        with pytest.raises(ValueError, match=r"zip\(\)"):
            write(rows)


def test_a_file_that_cannot_be_written_is_no_fault_of_a_cell(tmp_path):
    with (
        Path("/dev/full").open("wb", buffering=0) as file,
        pytest.raises(OSError, match="No space"),
        CSVWriter().open(file, ["a"]) as write_rows,
    ):
        write_rows([(1,)])


def test_an_interrupt_is_not_searched_for():
    class Interrupting:
        count = 0

        def __str__(self):
            Interrupting.count += 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        write([(Interrupting(), 1)])
    assert Interrupting.count == 1
    assert not hasattr(caught.value, "__notes__")


# Whatever the rows

texts = st.text(st.characters(exclude_categories=["Cs"]))
plain = st.one_of(
    st.none(),
    texts,
    st.text(',"\r\n\t\0 =+-@15.e'),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.dates(),
    st.times(),
    st.datetimes(timezones=st.none() | st.timezones()),
    st.timedeltas(),
    st.uuids(),
)
leaves = st.one_of(st.none(), texts, st.booleans(), st.integers(), st.floats(allow_nan=False))
containers = st.recursive(
    st.lists(leaves) | st.dictionaries(texts, leaves),
    lambda children: st.lists(leaves | children) | st.dictionaries(texts, leaves | children),
    max_leaves=10,
)


@st.composite
def tables(draw, cells):
    width = draw(st.integers(1, 5))
    headers = draw(st.lists(texts, min_size=width, max_size=width))
    rows = draw(st.lists(st.tuples(*[cells] * width), max_size=10))
    return headers, rows


@given(tables(plain))
@example((["a"], [(None,), ("",), (Decimal("-0"),), (-0.0,), (math.nan,)]))
@example((["a"], [(datetime.datetime(1, 1, 1),), (datetime.date(9999, 12, 31),)]))
def test_the_bytes_are_those_of_csv_writer(table):
    headers, rows = table
    data = write(rows, headers=headers)
    assert data == write_by_csv([headers, *rows])
    assert read(data) == [
        headers,
        *[["" if cell is None else str(cell) for cell in row] for row in rows],
    ]


@given(tables(plain | guarded_texts))
def test_with_the_guard_the_bytes_are_those_of_csv_writer_for_guarded_text(table):
    headers, rows = table
    data = write(rows, headers=headers, escape_formulas=True)
    assert data == write_guarded(headers, rows)


@given(tables(plain), st.integers(1, 3), st.booleans())
def test_the_size_that_counts_as_large_does_not_matter(table, large, escape_formulas):
    headers, rows = table
    expected = write(rows, headers=headers, escape_formulas=escape_formulas)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django_infra.exporter.writers.lines.LARGE_CELL", large)
        assert write(rows, headers=headers, escape_formulas=escape_formulas) == expected


def restore(value):
    """Return what JSON can give back of a value."""
    match value:
        case dict():
            return {key: restore(item) for key, item in value.items()}
        case list():
            return [restore(item) for item in value]
        case float() if math.isinf(value):
            return str(value)
    return value


@given(tables(st.one_of(containers, st.binary(), texts)), st.booleans())
def test_containers_come_back_as_json_and_bytes_as_hex(table, escape_formulas):
    headers, rows = table
    data = write(rows, headers=headers, escape_formulas=escape_formulas)
    for row, cells in zip(rows, read(data)[1:], strict=True):
        for value, cell in zip(row, cells, strict=True):
            match value:
                case bytes():
                    assert bytes.fromhex(cell) == value
                    assert cell == cell.lower()
                case str():
                    assert cell == (guard(value) if escape_formulas else value)
                case _:
                    assert json.loads(cell) == restore(value)

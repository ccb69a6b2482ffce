from __future__ import annotations

import datetime
import enum
import json
import math
import tracemalloc
import uuid
from collections import OrderedDict, UserList, UserString, defaultdict, deque, namedtuple
from decimal import Decimal
from fractions import Fraction

import pytest
from django.db.models import IntegerChoices, TextChoices
from django.utils.functional import lazystr
from django.utils.safestring import mark_safe
from phonenumber_field.phonenumber import PhoneNumber

from django_infra.exporter.writers.cells import (
    FORMULA_TRIGGERS,
    escape_formula,
    format_column,
    format_texts,
    get_cell_text,
)
from exporter.writers.guarding import guard, texts
from generated import given, st
from ids import make_id

UTC = datetime.UTC
EAST = datetime.timezone(datetime.timedelta(hours=5, minutes=45, seconds=30))
ID = uuid.UUID("00000000-0000-4000-8000-00000000000a")
Point = namedtuple("Point", "x y")


class Mood(TextChoices):
    GOOD = "good", "Good"
    FORMULA = "=1", "Formula"


class Size(IntegerChoices):
    SMALL = 1
    LARGE = -2


class Color(enum.Enum):
    RED = "red"


class Shade(str, enum.Enum):  # noqa: UP042  # str() gives the member's name, unlike a StrEnum
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Flags(enum.IntFlag):
    A = 1
    B = 2


class Text(str):
    def __str__(self):
        return "not the data"


class Money:
    def __str__(self):
        return "=5 €"


class Range:
    def __str__(self):
        return "[1, 5)"


# What str() gives

PLAIN = [
    (None, ""),
    (True, "True"),
    (False, "False"),
    (0, "0"),
    (-5, "-5"),
    (2**63, "9223372036854775808"),
    (10**100, "1" + "0" * 100),
    (0.0, "0.0"),
    (-0.0, "-0.0"),
    (0.1 + 0.2, "0.30000000000000004"),
    (1e16, "1e+16"),
    (1e20, "1e+20"),
    (1.8e16, "1.8e+16"),
    (5e-324, "5e-324"),
    (1.7976931348623157e308, "1.7976931348623157e+308"),
    (math.inf, "inf"),
    (-math.inf, "-inf"),
    (math.nan, "nan"),
    (Decimal("1.10"), "1.10"),
    (Decimal("-0.00"), "-0.00"),
    (Decimal("1E+3"), "1E+3"),
    (Decimal("0E-10"), "0E-10"),
    (Decimal("1e-7"), "1E-7"),
    (Decimal("1" * 40), "1" * 40),
    (Decimal("NaN"), "NaN"),
    (Decimal("sNaN"), "sNaN"),
    (Decimal("Infinity"), "Infinity"),
    (Decimal("-Infinity"), "-Infinity"),
    (datetime.date(5, 2, 3), "0005-02-03"),
    (datetime.date(9999, 12, 31), "9999-12-31"),
    (datetime.time(1, 2), "01:02:00"),
    (datetime.time(1, 2, 3, 4000), "01:02:03.004000"),
    (datetime.time(1, 2, tzinfo=UTC), "01:02:00+00:00"),
    (datetime.datetime(1899, 1, 2), "1899-01-02 00:00:00"),
    (datetime.datetime(2026, 1, 2, 3, 4, 5, 6), "2026-01-02 03:04:05.000006"),
    (datetime.datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02 00:00:00+00:00"),
    (datetime.datetime(2026, 1, 2, tzinfo=EAST), "2026-01-02 00:00:00+05:45:30"),
    (datetime.timedelta(0), "0:00:00"),
    (datetime.timedelta(days=1, microseconds=1), "1 day, 0:00:00.000001"),
    (datetime.timedelta(seconds=-1), "-1 day, 23:59:59"),
    (ID, "00000000-0000-4000-8000-00000000000a"),
]

OTHERS = [
    (b"", ""),
    (b"\x00\xffAB", "00ff4142"),
    (bytearray(b"\x0a\xbc"), "0abc"),
    (memoryview(b"\x0a\xbc"), "0abc"),
    (memoryview(b"\x0a\x00\xbc\x00")[::2], "0abc"),
    (memoryview(bytearray(b"\xde\xad\xbe\xef")).cast("I"), "deadbeef"),
    (Mood.GOOD, "good"),
    (Size.SMALL, "1"),
    (Level.HIGH, "3"),
    (Flags.A | Flags.B, "3"),
    (Color.RED, "Color.RED"),
    (Shade.RED, "red"),
    (Text("the data"), "the data"),
    (mark_safe("<b>"), "<b>"),
    (lazystr("lazy"), "lazy"),
    (Range(), "[1, 5)"),
    (Money(), "=5 €"),
    (Fraction(1, 3), "1/3"),
    (1 + 2j, "(1+2j)"),
    (frozenset({1}), "frozenset({1})"),
    (deque([1]), "deque([1])"),
    (UserList([1]), "[1]"),
]

CONTAINERS = [
    ({}, "{}"),
    ([], "[]"),
    ((), "[]"),
    ({"a": 1, "b": [True, None, 1.5, "x"]}, '{"a": 1, "b": [true, null, 1.5, "x"]}'),
    ((1, (2, [3])), "[1, [2, [3]]]"),
    (Point(1, "y"), '[1, "y"]'),
    (OrderedDict(b=1, a=2), '{"b": 1, "a": 2}'),
    (defaultdict(list, a=[1]), '{"a": [1]}'),
    (["é", "書", "😀", "\u2028"], '["é", "書", "😀", "\u2028"]'),
    (['"', "\\", "\n", "\t", "\0", "\x7f"], r'["\"", "\\", "\n", "\t", "\u0000", "' + '\x7f"]'),
    (["=1+1", "-5"], '["=1+1", "-5"]'),
    ([10**30, -0.0, 1e20], "[" + "1" + "0" * 30 + ", -0.0, 1e+20]"),
    ([Decimal("1.10"), Decimal("NaN"), Decimal("1E+3")], '["1.10", "NaN", "1E+3"]'),
    ([math.nan, math.inf, -math.inf, 1.5], '["nan", "inf", "-inf", 1.5]'),
    ({"a": {"b": [math.nan]}, "c": (1,)}, '{"a": {"b": ["nan"]}, "c": [1]}'),
    ([datetime.date(2026, 1, 2), ID], '["2026-01-02", "00000000-0000-4000-8000-00000000000a"]'),
    ([datetime.datetime(2026, 1, 2, tzinfo=UTC)], '["2026-01-02 00:00:00+00:00"]'),
    ([datetime.time(1), datetime.timedelta(1)], '["01:00:00", "1 day, 0:00:00"]'),
    ([b"\xff", bytearray(b"\x01"), memoryview(b"\x02")], '["ff", "01", "02"]'),
    ([Mood.GOOD, Size.LARGE, Level.HIGH, Shade.RED], '["good", -2, 3, "red"]'),
    ([Color.RED, Range(), Money()], '["Color.RED", "[1, 5)", "=5 €"]'),
    ([Text("the data"), mark_safe("<b>"), lazystr("lazy")], '["the data", "<b>", "lazy"]'),
    ([{1}, frozenset()], '["{1}", "frozenset()"]'),
    ({1: "a", None: "b", False: "c"}, '{"1": "a", "null": "b", "false": "c"}'),
    ({1.5: 1, -0.0: 2}, '{"1.5": 1, "-0.0": 2}'),
    ({math.nan: 1, math.inf: 2}, '{"nan": 1, "inf": 2}'),
    ({Decimal("1.10"): 1}, '{"1.10": 1}'),
    ({datetime.date(2026, 1, 2): 1}, '{"2026-01-02": 1}'),
    ({(1, "a"): 1, b"\xff": 2}, '{"[1, \\"a\\"]": 1, "ff": 2}'),
    ({Mood.GOOD: 1, Level.HIGH: 2, Color.RED: 3}, '{"good": 1, "3": 2, "Color.RED": 3}'),
    ({"outer": {2: {False: [None]}}}, '{"outer": {"2": {"false": [null]}}}'),
]


@pytest.mark.parametrize(("value", "text"), [*PLAIN, *OTHERS, *CONTAINERS], ids=make_id)
def test_the_text_of_a_cell(value, text):
    result = get_cell_text(value)
    assert str.__str__(result) == text


@pytest.mark.parametrize(("value", "text"), CONTAINERS, ids=make_id)
def test_containers_are_json(value, text):
    assert json.loads(get_cell_text(value)) is not None
    assert json.loads(text) == json.loads(get_cell_text(value))


@pytest.mark.parametrize(
    "value", [{"a": [1, 2.5, None, True, "ü"]}, [[], {}, ""], [[1, None], [2, 3]], {"": {"": []}}]
)
def test_json_gives_the_value_back(value):
    assert json.loads(get_cell_text(value)) == value


@pytest.mark.parametrize("neighbour", [0, math.nan])
def test_nested_text_does_not_depend_on_its_neighbours(neighbour):
    """A number that is not finite, or a key that is no text, is paid for by the whole cell."""
    for value, _ in [*PLAIN, *OTHERS, *CONTAINERS]:
        for nested in ([value], {"key": value}, {"key": [value, {}]}):
            if isinstance(value, float) and not math.isfinite(value):
                continue
            together = json.loads(get_cell_text([nested, neighbour]))
            assert together[0] == json.loads(get_cell_text(nested))


def test_deep_json_is_text():
    value = []
    for _ in range(200):
        value = [value]
    assert get_cell_text(value) == "[" * 201 + "]" * 201


def test_json_that_holds_itself_is_an_error():
    value = []
    value.append(value)
    with pytest.raises((ValueError, RecursionError)):
        get_cell_text(value)


def test_an_error_in_a_nested_value_is_raised():
    class Broken:
        def __str__(self):
            raise ZeroDivisionError("broken")

    with pytest.raises(ZeroDivisionError, match="broken"):
        get_cell_text({"a": [Broken()]})


# Columns


@pytest.mark.parametrize("escape_formulas", [True, False])
def test_plain_columns_are_left_to_csv(escape_formulas):
    column = [value for value, _ in PLAIN]
    assert format_column(column, escape_formulas=escape_formulas) is column


@pytest.mark.parametrize("escape_formulas", [True, False])
@pytest.mark.parametrize("column", [(), [], [""], [None], ["a", None, "b"]], ids=str)
def test_harmless_columns_stay_equal(column, escape_formulas):
    assert list(format_column(column, escape_formulas=escape_formulas)) == list(column)


@pytest.mark.parametrize("escape_formulas", [True, False])
def test_a_column_may_hold_values_of_every_type(escape_formulas):
    cells = [*PLAIN, *OTHERS, *CONTAINERS]
    column = format_column([value for value, _ in cells], escape_formulas=escape_formulas)
    for formatted, (value, text) in zip(column, cells, strict=True):
        is_guarded = escape_formulas and isinstance(value, Money)
        assert formatted is value or formatted == (f"'{text}" if is_guarded else text)


GUARDED = {
    **{
        text: f"'{text}"
        for text in ["=1+1", "@SUM(A1)", "\tx", "\r", "＝1", "\ufeff=1", "-2+3", "+a"]
    },
    "\n=1": "'\n'=1",
    "x;=1+1": "x;'=1+1",
    "x\t＋1": "x\t'＋1",
    "x\r\n-1": "x\r\n'-1",
    'x;"@': "x;\"'@",
    "=1;\ufeff": "'=1;'\ufeff",
}
SPARED = ["-5", "+5", "x=1", " =1", "", "'=1", "x; =1", "x;'=1", "x,=1", "x;\t1", 'x;""=1', "5;6"]


@pytest.mark.parametrize("text", GUARDED, ids=ascii)
@pytest.mark.parametrize("others", [[], [None], [5], [{}], [b"x"], [Mood.GOOD], ["x"]], ids=str)
def test_formulas_are_escaped_whatever_else_is_in_the_column(text, others):
    assert format_column([*others, text], escape_formulas=True)[-1] == GUARDED[text]
    assert format_texts([*others, text], escape_formulas=True)[-1] == GUARDED[text]
    assert format_column([*others, text], escape_formulas=False)[-1] == text
    assert format_texts([*others, text], escape_formulas=False)[-1] == text


@pytest.mark.parametrize("text", SPARED, ids=ascii)
@pytest.mark.parametrize("others", [[], [None], [5], [{}], [b"x"], [Mood.GOOD], ["x"]], ids=str)
def test_other_texts_are_spared_whatever_else_is_in_the_column(text, others):
    assert format_column([*others, text], escape_formulas=True)[-1] == text
    assert format_texts([*others, text], escape_formulas=True)[-1] == text


@pytest.mark.parametrize("others", [[], [None], ["x"]], ids=str)
def test_subclasses_of_str_are_escaped_too(others):
    column = [Text("=1"), Mood.FORMULA, mark_safe("=1"), *others]
    assert format_column(column, escape_formulas=True)[:3] == ["'=1"] * 3


TYPED = [
    (-5, "-5"),
    (-1.5, "-1.5"),
    (-math.inf, "-inf"),
    (Decimal("-5"), "-5"),
    (Decimal("-Infinity"), "-Infinity"),
    (Fraction(-1, 3), "-1/3"),
    (-1j, "(-0-1j)"),
    (datetime.timedelta(seconds=-1), "-1 day, 23:59:59"),
    (Size.LARGE, "-2"),
    (b"=1", "3d31"),
    (["=1", ";=1"], '["=1", ";=1"]'),
    ({"=1": ";=2"}, '{"=1": ";=2"}'),
    (Point("=1", "\t=1"), '["=1", "\\t=1"]'),
]
OBJECTS = [
    (Money(), "'=5 €"),
    (lazystr("=1"), "'=1"),
    (UserString("@1;-x"), "'@1;'-x"),
    (UserString("-5"), "-5"),
    (deque(["x;=1"]), "deque(['x;'=1'])"),
]


@pytest.mark.parametrize(("value", "text"), [*TYPED, *OBJECTS], ids=make_id)
@pytest.mark.parametrize("others", [[], [None], ["x"], [5], [{}]], ids=str)
def test_whatever_is_of_no_type_that_is_spared_is_guarded(value, text, others):
    for format in (format_column, format_texts):
        assert str(format([*others, value], escape_formulas=True)[-1]) == text
        assert str(format([*others, value], escape_formulas=False)[-1]) == get_cell_text(value)


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("E164", "+493012345678"),
        ("INTERNATIONAL", "'+49 30 12345678"),
        ("RFC3966", "tel:+49-30-12345678"),
    ],
)
def test_phone_numbers_are_guarded(settings, format, text):
    settings.PHONENUMBER_DEFAULT_FORMAT = format
    number = PhoneNumber.from_string("+49 30 12345678")
    assert format_texts([number], escape_formulas=True) == [text]
    assert format_column([number], escape_formulas=True) == [text]


# The formula guard


@pytest.mark.parametrize("trigger", sorted(FORMULA_TRIGGERS), ids=ascii)
@pytest.mark.parametrize(
    "rest", ["", "1", "1+1", "cmd|' /C calc'!A0", "\n", " ", "5a", ".5", "1e", "1e+", "1.2.3"]
)
def test_a_trigger_is_escaped(trigger, rest):
    text = trigger + rest
    expected = text if trigger in "+-" and rest == "1" else "'" + text
    assert escape_formula(text) == expected


@pytest.mark.parametrize("separator", [*";\t\r\n", "\r\n", ';"', '\t"', '\r"', '\n"'], ids=ascii)
@pytest.mark.parametrize("trigger", "=+-@＝＋－＠\ufeff", ids=ascii)
@pytest.mark.parametrize("rest", ["", "1", "1+1", ";x"])
def test_a_trigger_behind_a_separator_is_escaped(separator, trigger, rest):
    assert escape_formula(f"x{separator}{trigger}{rest}") == f"x{separator}'{trigger}{rest}"


@pytest.mark.parametrize("between", [" ", "x", "'", '""', "\0", "\xa0"], ids=ascii)
def test_a_trigger_further_behind_is_none(between):
    assert escape_formula(f"x;{between}=1") == f"x;{between}=1"


def test_a_text_of_many_triggers_takes_little_memory():
    text = ";=" * 10**6
    tracemalloc.start()
    guarded = escape_formula(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert guarded == ";'=" * 10**6
    assert peak < 40 * 10**6


def test_the_triggers_are_those_that_are_promised():
    assert set("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20\ufeff") == FORMULA_TRIGGERS


@pytest.mark.parametrize(
    "text",
    [
        "-5",
        "+5",
        "-0",
        "-05",
        "+1.5",
        "-1.50",
        "-1e5",
        "+1E5",
        "-1.5e+10",
        "-2e-07",
        "-" + "9" * 99,
    ],
)
def test_a_plain_number_is_spared(text):
    assert escape_formula(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "-5\n",
        "-5\r",
        "-5 ",
        "-\n5",
        "- 5",
        "--5",
        "+-5",
        "+1-1",
        "-1+1",
        "=1",
        "=-1",
        "@1",
        "\t1",
        "\n1",
        "+",
        "-",
        "+.5",
        "-5.",
        "-1,5",
        "-1_000",
        "-0x10",
        "+1e",
        "-1e5.5",
        "-1E",
        "-inf",
        "+nan",
        "-Infinity",
        "+١",
        "-５",
        "-²",
        "-1٫5",
        "＋1",
        "－1",
        "\ufeff1",
        "\ufeff",
        "-5\0",
        "+49 30 1234",
        "-1%",
        "+1€",
        "-A1",
        "+1e5e5",
    ],
    ids=ascii,
)
def test_what_is_not_quite_a_number_is_escaped(text):
    assert escape_formula(text) == "'" + text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "a=1",
        " =1",
        "\0=1",
        "'=1",
        '"=1"',
        "\v=1",
        "\f=1",
        "\xa0=1",
        "\u2212 1",
        "1-1",
        "|x",
    ],
    ids=ascii,
)
def test_text_that_begins_otherwise_is_spared(text):
    assert escape_formula(text) == text


@given(st.one_of(st.text(), st.text("+-=@019.eE \n\t١"), st.from_regex(r"\A[+-]?\d.*\Z"), texts))
def test_the_guard_adds_apostrophes_or_nothing(text):
    guarded = escape_formula(text)
    assert guarded == guard(text)
    assert guarded is text or guarded != text
    assert escape_formula(guarded) == guarded


@given(st.lists(texts | st.none()), st.integers(1, 5))
def test_the_guard_of_a_column_is_that_of_its_texts(column, window):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django_infra.exporter.writers.cells._WINDOW", window)
        formatted = format_texts(column, escape_formulas=True)
    assert list(formatted) == [text and guard(text) for text in column]

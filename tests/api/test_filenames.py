from __future__ import annotations

import re
from string import printable

import pytest
from werkzeug.http import parse_options_header

from corpora import read_file_name_rules, read_naughty_strings
from django_infra.api.files import content_disposition
from generated import given, st


def parse(header):
    """Return the name that a client takes, which is an RFC 6266 parser of another project."""
    kind, options = parse_options_header(header)
    assert kind == "attachment"
    return options["filename"]


@pytest.mark.parametrize(
    "name",
    [
        "a.csv",
        "with space.csv",
        ".csv",
        "'single'; filename=x.csv",
        'say "hi".csv',
        "100%.csv",
        "%2e%2e%2fpasswd",
        "Übersicht 2026.csv",
        "Файл.csv",
        "文件.csv",
        "ملف.csv",
        "e\u0301 and \u00e9.csv",
        "👩\u200d👩\u200d👧.csv",
        "a,b;c=d*e<f>g:h|i?.csv",
        "UTF-8''x.csv",
        "console.csv",
        "x" * 251 + ".csv",
    ],
)
def test_name_arrives(name):
    assert parse(content_disposition(name)) == name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("", "download"),
        (" ", "download"),
        (".", "download"),
        ("..", "download"),
        ("a/", "download"),
        ("a/b.csv", "b.csv"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\a.csv", ".._.._a.csv"),
        ("C:\\a.csv", "C:_a.csv"),
        ("a\r\nSet-Cookie: x=1.csv", "a__Set-Cookie: x=1.csv"),
        ("a\x00b\x7fc\x85d.csv", "a_b_c_d.csv"),
        ("a\u2028b.csv", "a_b.csv"),
        ("sales\u202egpj.exe", "sales_gpj.exe"),
        ("\u2066a\u2069\u200e.csv", "_a__.csv"),
        ("a\udce9\ud800.csv", "a__.csv"),
        ("a.csv. . ", "a.csv"),
        ("con", "_con"),
        ("NUL.csv", "_NUL.csv"),
        ("com1 .csv", "_com1 .csv"),
        ("Lpt³.tar.gz", "_Lpt³.tar.gz"),
        ("x" * 9999 + ".csv", "x" * 251 + ".csv"),
        ("€" * 9999 + ".csv", "€" * 83 + ".csv"),
        ("a." + "x" * 300, "a." + "x" * 253),
    ],
)
def test_unsafe_name_is_made_safe(name, safe):
    assert parse(content_disposition(name)) == safe


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a b.csv", 'attachment; filename="a b.csv"'),
        ('"é".csv', "attachment; filename=\"___.csv\"; filename*=UTF-8''%22%C3%A9%22.csv"),
        ("50%.csv", "attachment; filename=\"50_.csv\"; filename*=UTF-8''50%25.csv"),
    ],
)
def test_old_clients_get_plain_ascii(name, header):
    assert content_disposition(name) == header


def assert_safe(name):
    header = content_disposition(name)
    assert set(header) <= set(printable) - set("\r\n\t\v\f")
    arrived = parse(header)
    assert arrived
    assert len(arrived.encode()) <= 256
    assert not re.search(r"[/\\]|^\.*$", arrived)
    plain = re.match(r'attachment; filename="([^"\\]+)"', header)[1]
    assert "%" not in plain


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_is_made_safe(name):
    assert_safe(name)


def test_naughty_strings_are_made_safe():
    for name in read_naughty_strings():
        assert_safe(name)


def test_no_name_is_a_device_of_windows():
    reserved = read_file_name_rules()["reserved_names"]
    for device in reserved:
        for name in (device["name"], device["name"].lower() + ".csv"):
            assert parse(content_disposition(name)) == f"_{name}"

from __future__ import annotations

import os
import tempfile
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage

from corpora import read_file_name_rules
from django_infra.exporter.delivery.paths import (
    MAX_PATH_LENGTH,
    clean_path,
    find_fault,
    make_attempt_path,
    make_path_key,
)
from django_infra.exporter.exceptions import InvalidFilePath
from generated import example, given, st
from ids import make_id

GOOD = [
    "users.csv",
    "users",
    "a/b/c/d/e/f/g.csv",
    "reports/2026-11-22/users.csv",
    ".csv",
    ".hidden/users.csv",
    "users.csv.exe",
    "a.b/c.d.csv",
    "with space.csv",
    "a/with  two spaces/b.csv",
    "'quoted' & $ome; `sh` (1) [2] {3} #4 %5 ~6 !7 ^8 +9 =10 @11 ,12.csv",
    "-rf.csv",
    "~/users.csv",
    "%2e%2e/users.csv",
    "..users.csv",
    "a..b/c...d.csv",
    "..a/users.csv",
    "Ünïcödé/Файл/文件/ملف.csv",
    "e\u0301 and \u00e9.csv",
    "👩‍👩‍👧.csv",
    "console.csv",
    "CON1.csv",
    "com10.csv",
    "com0.csv",
    "lpt.csv",
    "null/aux2/prn_.csv",
    "a.con",
    "a.nul/b.csv",
    "x" * 255,
    "é" * 127,
    "€" * 85,
    "/".join(["x" * 255, "y" * 254, "z"]),
]

TRAVERSALS = [
    "..",
    "../users.csv",
    "../../../../../../etc/passwd",
    "a/../users.csv",
    "a/..",
    "a/b/../../../users.csv",
    "./users.csv",
    ".",
    "a/./users.csv",
    "a/.",
    "a/../",
    "....//users.csv",
    "..//users.csv",
    "..\\users.csv",
    "..\\/users.csv",
    "a\\..\\..\\users.csv",
    "..;/users.csv/../..",
    ".. /users.csv",
    "../ ",
    " ../users.csv",
    "..\0/users.csv",
    "..\n/users.csv",
    "..../users.csv",
    ".. ./users.csv",
    "a/ /users.csv",
    "%2e%2e/../users.csv",
    "%00../users.csv\0",
]

ABSOLUTE = [
    "/",
    "/users.csv",
    "//users.csv",
    "///etc/passwd",
    "/../users.csv",
    "C:/users.csv",
    "C:users.csv",
    "c:\\users.csv",
    "\\users.csv",
    "\\\\server\\share\\users.csv",
    "//server/share/users.csv",
    "\\\\?\\C:\\users.csv",
    "\\\\.\\COM1",
    "file:///etc/passwd",
    "s3://bucket/users.csv",
    "users.csv:stream",
    "users.csv::$DATA",
]

CHARACTERS = [
    "",
    "a//b.csv",
    "a/",
    "a/b/",
    "users\0.csv",
    "users.csv\0.exe",
    "users\n.csv",
    "users\r\n.csv",
    "users\t.csv",
    "users\x1b[31m.csv",
    "users\x7f.csv",
    "users\x85.csv",
    "users\x9f.csv",
    "users\u2028.csv",
    "users\u2029.csv",
    "users\ud800.csv",
    "users\udcff.csv",
    "\udfff",
    "a\\b.csv",
    "users*.csv",
    "users?.csv",
    'users".csv',
    "users<1>.csv",
    "a|b.csv",
    " users.csv",
    "users.csv ",
    "users.csv.",
    "users..",
    "a /b.csv",
    "a./b.csv",
    "a/ b.csv",
]

DEVICES = [
    "con",
    "CON.csv",
    "con.csv",
    "Con.tar.gz",
    "con .csv",
    "a/NUL.txt",
    "a/nul/b.csv",
    "aux.",
    "prn.csv",
    "COM1.csv",
    "com¹.csv",
    "COM²",
    "lpt9/users.csv",
    "LPT³.csv",
    "CONIN$.csv",
    "conout$",
]

LONG = [
    "x" * 256,
    "x" * 300 + ".csv",
    "a/" + "x" * 300 + "/b.csv",
    "é" * 128,
    "€" * 86,
    "😀" * 64,
    "/".join(["x" * 255, "y" * 255, "z"]),
    "a/" * 256 + "z",
    "x/" * 5000,
    "x" * 1_000_000,
]

NO_PATHS = [
    None,
    0,
    5,
    True,
    b"users.csv",
    bytearray(b"users.csv"),
    ["users.csv"],
    ("a", "b.csv"),
    {"users.csv": 1},
    object(),
    Path,
]


class BytesPath(os.PathLike):
    def __fspath__(self):
        return b"users.csv"


@pytest.mark.parametrize("path", GOOD)
def test_a_good_path_is_returned_as_it_is(path):
    assert clean_path(path) == path


@pytest.mark.parametrize("path", GOOD)
def test_a_good_path_is_saved_under_its_name(path, tmp_path):
    for storage in (FileSystemStorage(tmp_path), InMemoryStorage()):
        assert storage.save(path, ContentFile(b"1")) == path
        assert storage.exists(path)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [tmp_path / path]


@pytest.mark.parametrize("path", [*TRAVERSALS, *ABSOLUTE, *CHARACTERS, *DEVICES, *LONG], ids=ascii)
def test_a_bad_path_is_refused(path):
    with pytest.raises(InvalidFilePath, match=r"^Invalid file_path .*: .*\. Give a path relative"):
        clean_path(path)


@pytest.mark.parametrize("thing", [*NO_PATHS, BytesPath()], ids=make_id)
def test_what_is_no_path_is_refused(thing):
    with pytest.raises(InvalidFilePath, match="file_path must be a str or a path, not "):
        clean_path(thing)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (Path("reports/users.csv"), "reports/users.csv"),
        (PurePosixPath("reports//./users.csv"), "reports/users.csv"),
        (PureWindowsPath("users.csv"), "users.csv"),
    ],
)
def test_a_path_object_becomes_text(path, expected):
    cleaned = clean_path(path)
    assert cleaned == expected
    assert type(cleaned) is str


@pytest.mark.parametrize(
    "path", [Path("/tmp/users.csv"), Path("../users.csv"), Path(), PureWindowsPath("a/users.csv")]
)
def test_a_bad_path_object_is_refused(path):
    with pytest.raises(InvalidFilePath):
        clean_path(path)


def test_the_error_is_a_value_error_and_suspicious():
    with pytest.raises(InvalidFilePath) as caught:
        clean_path("../users.csv")
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, SuspiciousFileOperation)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "it is empty"),
        ("/users.csv", "it is absolute"),
        ("a/../users.csv", r"it contains the component '\.\.'"),
        ("a//users.csv", "it contains the component ''"),
        ("a\\b.csv", r"it contains '\\\\'"),
        ("a\0b.csv", r"'\\x00'"),
        ("a\ud800.csv", r"surrogate '\\ud800'"),
        ("a" * 513, "it has 513 characters, and 512 are allowed"),
        ("€" * 86, "over 255 bytes"),
        ("nul.csv", "'nul.csv' is a device on Windows"),
        ("a .", "starts or ends with a space"),
    ],
    ids=ascii,
)
def test_the_error_gives_the_reason(path, reason):
    with pytest.raises(InvalidFilePath, match=reason):
        clean_path(path)


@pytest.mark.parametrize("path", LONG)
def test_the_error_is_short_and_printable(path):
    with pytest.raises(InvalidFilePath) as caught:
        clean_path(path)
    assert len(str(caught.value)) < 500


def test_the_error_names_the_source():
    with pytest.raises(InvalidFilePath, match="Invalid EXPORTER_PATH_PREFIX '/x'"):
        clean_path("/x", source="EXPORTER_PATH_PREFIX")
    with pytest.raises(InvalidFilePath, match=r"^EXPORTER_PATH_PREFIX must be"):
        clean_path(None, source="EXPORTER_PATH_PREFIX")


def test_the_longest_path():
    path = "/".join(["x" * 255, "y" * 255, ""]) + "z"
    assert len(path) == MAX_PATH_LENGTH + 1
    with pytest.raises(InvalidFilePath, match="it has 513 characters"):
        clean_path(path)
    path = "/".join(["x" * 255, "y" * 254, "z"])
    assert len(path) == MAX_PATH_LENGTH
    assert clean_path(path) == path


@pytest.mark.parametrize("template", ["{}", "{}.csv", "a/{}/b.csv", "a/{}.tar.gz"])
@pytest.mark.parametrize("change", [str.upper, str.lower, str.title])
def test_the_corpus_of_reserved_names_is_refused(template, change):
    for reserved in read_file_name_rules()["reserved_names"]:
        with pytest.raises(InvalidFilePath, match="is a device on Windows"):
            clean_path(template.format(change(reserved["name"])))


def test_the_corpus_of_forbidden_characters_is_refused():
    forbidden = {
        entry["char"]
        for entry in read_file_name_rules()["table_of_characters"]
        if not entry["file"]
    } - {"/"}
    assert len(forbidden) == 8
    for character in forbidden:
        for path in (character, f"users{character}.csv", f"a{character}/users.csv"):
            with pytest.raises(InvalidFilePath):
                clean_path(path)


paths = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=600),
    st.lists(
        st.one_of(
            st.sampled_from(["", ".", "..", " ", "con", "NUL", "a", ".csv", "~", "\\", "C:", "\0"]),
            st.text(st.characters(exclude_categories=()), max_size=300),
        ),
        max_size=8,
    ).map("/".join),
)


@given(paths)
@example("\ud800" * 513)
@example("\U0010ffff" * 63)
def test_any_text_is_a_file_within_the_folder_or_refused(path):
    try:
        cleaned = clean_path(path)
    except InvalidFilePath as error:
        str(error).encode()
        return
    with tempfile.TemporaryDirectory() as root:
        target = Path(root, *cleaned.split("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"1")
        assert FileSystemStorage(root).path(cleaned) == str(target)
        found = [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]
        assert found == [f"{root}/{cleaned}"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.csv", "a-2-abcdefgh.csv"),
        ("a/b.c/d.tar.gz", "a/b.c/d.tar-2-abcdefgh.gz"),
        ("a", "a-2-abcdefgh"),
        ("x" * 251 + ".csv", "x" * 240 + "-2-abcdefgh.csv"),
        ("€" * 83 + ".csv", "€" * 80 + "-2-abcdefgh.csv"),
        ("/".join(["x" * 255, "y" * 245, "a.csv"]), "/".join(["x" * 255, "a-2-abcdefgh.csv"])),
        (
            "/".join(["x" * 255, "y" * 240, "abcdef.csv"]),
            "/".join(["x" * 255, "y" * 240, "-2-abcdefgh.csv"]),
        ),
    ],
)
def test_each_later_attempt_has_a_path_of_its_own(path, expected):
    assert find_fault(path) is None
    assert make_attempt_path(path, attempt=1, token="abcdefghijk") == path
    assert make_attempt_path(path, attempt=2, token="abcdefghijk") == expected
    assert find_fault(expected) is None


def test_a_key_stands_for_one_path_in_one_storage():
    keys = {
        make_path_key(alias, path)
        for alias in ("default", "other")
        for path in ("a.csv", "A.csv", "a.csv/b", "é.csv", "e\u0301.csv", "x" * 512)
    }
    assert len(keys) == 12
    assert {len(key) for key in keys} == {64}
    assert make_path_key("default", "a.csv") == make_path_key("default", "a.csv")
    assert make_path_key("a", "bc") != make_path_key("ab", "c")

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_infra.exporter import writers
from django_infra.exporter.checks import check_settings
from django_infra.exporter.exceptions import (
    FileExtensionMissing,
    InvalidExport,
    InvalidFormatOptions,
    InvalidFormatSetting,
    UnsupportedFormat,
)
from django_infra.exporter.writers import BuiltinFormat, choose_format, get_formats, get_writer
from django_infra.exporter.writers.base import Writer
from django_infra.exporter.writers.csv import CSVWriter

CSV = "django_infra.exporter.writers.csv.CSVWriter"


class PipeWriter(CSVWriter):
    def __init__(self, *, width=80, **options):
        if not isinstance(width, int):
            raise ValueError(f"width must be an int, not {width!r}.")
        super().__init__(**options)
        self.width = width


PIPES = {"pipes": {"BACKEND": f"{__name__}.PipeWriter", "OPTIONS": {"width": 100}}}


# Choosing


def test_csv_is_the_default():
    assert choose_format(None, None) == "csv"


@pytest.mark.parametrize(
    "path",
    ["users.csv", "USERS.CSV", "users.Csv", "users.xlsx.csv", "a.b/users.csv", ". .csv"],
)
def test_the_extension_chooses(path):
    assert choose_format(path, None) == "csv"


@pytest.mark.parametrize("path", [None, "users", "users.xlsx", ".csv", "users.csv", "a.csv/b"])
def test_the_format_wins_over_the_extension(path):
    assert choose_format(path, "csv") == "csv"


@pytest.mark.parametrize(
    "path",
    ["users", "csv", ".csv", "a/.csv", "a.csv/users", "a.csv/.csv", "a/..csv", "users.", "users.."],
)
def test_no_extension_is_refused(path):
    with pytest.raises(FileExtensionMissing) as caught:
        choose_format(path, None)
    assert str(caught.value) == (
        f"File extension missing in file_path {path!r}. Add one of 'csv', or pass format."
    )
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("path", "extension"),
    [
        ("users.csv.exe", "exe"),
        ("users.XLSX", "xlsx"),
        ("users.csv~", "csv~"),
        ("users.csv ", "csv "),
        ("users.ｃｓｖ", "ｃｓｖ"),
        ("users.cſv", "cſv"),
        ("users.csv.gz", "gz"),
    ],
)
def test_an_unknown_extension_is_refused(path, extension):
    with pytest.raises(UnsupportedFormat) as caught:
        choose_format(path, None)
    assert str(caught.value).startswith(
        f"Unsupported format {extension!r}, the extension of file_path {path!r}. Supported: 'csv';"
    )
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("format", ["xlsx", "", ".csv", "csv ", 0, 5, b"csv", True, (), [], {}])
def test_an_unknown_format_is_refused(format):
    with pytest.raises(UnsupportedFormat) as caught:
        choose_format("users.csv", format)
    assert str(caught.value) == f"Unsupported format {format!r}. Supported: 'csv'."
    assert isinstance(caught.value, ValueError)


def test_errors_list_the_projects_formats_too(settings):
    settings.EXPORTER_FORMATS = PIPES
    with pytest.raises(UnsupportedFormat, match="Supported: 'csv', 'pipes'"):
        choose_format("users.xlsx", None)
    with pytest.raises(FileExtensionMissing, match="Add one of 'csv', 'pipes'"):
        choose_format("users", None)


# EXPORTER_FORMATS


def test_the_projects_formats_are_merged_over_the_built_in_ones(settings):
    settings.EXPORTER_FORMATS = PIPES
    assert list(get_formats()) == ["csv", "pipes"]
    assert choose_format("users.pipes", None) == "pipes"
    assert type(get_writer("pipes")) is PipeWriter
    assert type(get_writer("csv")) is CSVWriter


def test_a_project_may_replace_a_built_in_format(settings):
    settings.EXPORTER_FORMATS = {"csv": PIPES["pipes"]}
    assert type(get_writer("csv")) is PipeWriter
    del settings.EXPORTER_FORMATS
    assert type(get_writer("csv")) is CSVWriter


def test_the_settings_are_not_changed_by_merging(settings):
    settings.EXPORTER_FORMATS = PIPES
    get_formats()["more"] = {}
    assert list(get_formats()) == ["csv", "pipes"]
    get_writer("pipes", {"width": 1})
    assert PIPES["pipes"]["OPTIONS"] == {"width": 100}


def test_options_go_over_those_of_the_setting(settings):
    settings.EXPORTER_FORMATS = PIPES
    assert get_writer("pipes").width == 100
    assert get_writer("pipes", {}).width == 100
    writer = get_writer("pipes", {"width": 5, "escape_formulas": False})
    assert (writer.width, writer.escape_formulas) == (5, False)


@pytest.mark.parametrize(
    "definition",
    [
        None,
        "",
        CSV,
        5,
        [],
        {},
        {"OPTIONS": {}},
        {"BACKEND": None},
        {"BACKEND": ""},
        {"BACKEND": "csv"},
        {"BACKEND": ".CSVWriter"},
        {"BACKEND": "..csv.CSVWriter"},
        {"BACKEND": "nowhere.CSVWriter"},
        {"BACKEND": "django_infra.exporter.writers.csv.Nothing"},
        {"BACKEND": "django_infra.exporter.writers.csv"},
        {"BACKEND": f"{CSV}."},
        {"BACKEND": "django_infra.exporter.writers.get_writer"},
        {"BACKEND": "django_infra.exporter.conf.conf"},
        {"BACKEND": "django.contrib.auth.models.User"},
        {"BACKEND": 5},
        {"BACKEND": b"csv.CSVWriter"},
        {"BACKEND": [CSV]},
        {"BACKEND": CSVWriter},
        {"BACKEND": "django_infra.exporter.writers.base.Writer"},
        {"BACKEND": CSV, "OPTIONS": {"nope": 1}},
        {"BACKEND": CSV, "OPTIONS": {"escape_formulas": "yes"}},
        {"BACKEND": CSV, "OPTIONS": {1: 2}},
        {"BACKEND": CSV, "OPTIONS": None},
        {"BACKEND": CSV, "OPTIONS": []},
        {"BACKEND": CSV, "OPTIONS": "escape_formulas"},
        {"BACKEND": f"{__name__}.PipeWriter", "OPTIONS": {"width": "wide"}},
    ],
    ids=str,
)
@pytest.mark.parametrize("options", [None, {"escape_formulas": False}])
def test_a_bad_definition_is_the_settings_fault(settings, definition, options):
    settings.EXPORTER_FORMATS = {"bad": definition}
    with pytest.raises(InvalidFormatSetting, match=r"^EXPORTER_FORMATS\['bad'\]") as caught:
        get_writer("bad", options)
    assert isinstance(caught.value, ImproperlyConfigured)
    assert not isinstance(caught.value, InvalidExport)


def test_a_bad_definition_leaves_other_formats_alone(settings):
    settings.EXPORTER_FORMATS = {"bad": None}
    assert type(get_writer("csv")) is CSVWriter


def test_an_import_error_is_chained(settings):
    settings.EXPORTER_FORMATS = {"bad": {"BACKEND": "nowhere.Writer"}}
    with pytest.raises(InvalidFormatSetting, match="No module named 'nowhere'") as caught:
        get_writer("bad")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


# Options of the caller


@pytest.mark.parametrize(
    "options",
    [
        {"nope": 1},
        {"escape_formulas": "no"},
        {"escape_formulas": 0},
        {"escape_formulas": []},
        {1: 2},
        {"": 1},
        [],
        ["escape_formulas"],
        "escape_formulas",
        5,
        True,
        {"escape_formulas"},
    ],
    ids=str,
)
def test_bad_options_are_the_callers_fault(options):
    with pytest.raises(InvalidFormatOptions) as caught:
        get_writer("csv", options)
    message = str(caught.value)
    if isinstance(options, dict):
        assert message.startswith(f"options {options!r} do not suit the format 'csv' (CSVWriter): ")
        assert message.endswith(" Allowed: 'escape_formulas'.")
    else:
        assert message == f"options must be a dict, not {options!r}."
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, InvalidExport)


def test_an_unknown_option_is_named():
    with pytest.raises(InvalidFormatOptions, match="'escape_formula'"):
        get_writer("csv", {"escape_formula": False})


@pytest.mark.parametrize("options", [None, {}, {"escape_formulas": None}])
@pytest.mark.parametrize("setting", [True, False])
def test_the_formula_guard_follows_its_setting(settings, options, setting):
    settings.EXPORTER_ESCAPE_FORMULAS = setting
    assert get_writer("csv", options).escape_formulas is setting


@pytest.mark.parametrize("setting", [True, False])
@pytest.mark.parametrize("option", [True, False])
def test_the_option_wins_over_the_setting(settings, option, setting):
    settings.EXPORTER_ESCAPE_FORMULAS = setting
    assert get_writer("csv", {"escape_formulas": option}).escape_formulas is option


def test_the_formula_guard_is_on_by_default():
    assert get_writer("csv").escape_formulas is True


def test_a_bad_formula_setting_is_not_blamed_on_the_formats(settings):
    settings.EXPORTER_ESCAPE_FORMULAS = "yes"
    with pytest.raises(ImproperlyConfigured, match="EXPORTER_ESCAPE_FORMULAS is 'yes'"):
        get_writer("csv")


def test_every_built_in_format_is_a_writer():
    for name in get_formats():
        assert isinstance(get_writer(name), Writer)


# Formats whose library is an extra


@pytest.fixture
def sheets(monkeypatch):
    """Have a built-in format of a library that nobody has installed."""
    sheets = BuiltinFormat(CSV, library="no_such_library_of_sheets", extra="sheets")
    monkeypatch.setitem(writers.BUILTIN_FORMATS, "sheets", sheets)
    return sheets


@pytest.mark.parametrize(("path", "format"), [("users.sheets", None), (None, "sheets")])
def test_a_format_without_its_library_names_the_line_that_installs_it(sheets, path, format):
    with pytest.raises(UnsupportedFormat) as caught:
        choose_format(path, format)
    assert str(caught.value).endswith(
        '; no_such_library_of_sheets is not installed: pip install "django-infra[sheets]".'
    )


def test_a_format_without_its_library_is_absent_and_leaves_others_alone(sheets):
    assert list(get_formats()) == ["csv"]
    assert choose_format(None, None) == "csv"
    assert check_settings() == []


def test_a_project_may_define_a_format_that_lacks_its_library_here(sheets, settings):
    settings.EXPORTER_FORMATS = {"sheets": PIPES["pipes"]}
    assert type(get_writer(choose_format("users.sheets", None))) is PipeWriter


def test_a_format_with_its_library_is_offered(monkeypatch):
    sheets = BuiltinFormat(CSV, library="json", extra="sheets")
    monkeypatch.setitem(writers.BUILTIN_FORMATS, "sheets", sheets)
    assert list(get_formats()) == ["csv", "sheets"]
    assert type(get_writer("sheets")) is CSVWriter

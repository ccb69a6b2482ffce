"""The reference names every setting, check, error, and format that there is."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from django.core.management.base import BaseCommand

from django_infra.exporter.export import export_queryset
from django_infra.exporter.management.commands.export_queryset import Command as Export
from django_infra.exporter.models import QueryExport
from django_infra.exporter.registry.description import TYPES
from django_infra.exporter.rest.filters import QueryExportFilterSet
from django_infra.exporter.rest.serializers import QueryExportSerializer
from django_infra.exporter.writers import BUILTIN_FORMATS
from testapp.models import Publisher

ROOT = Path(__file__).parents[1]
EXPORTER = ROOT / "src/django_infra/exporter"
README = ROOT / "README.md"
PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "demo/README.md", *sorted((ROOT / "docs").glob("*.md"))]
URLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]


def read(name):
    return (ROOT / name).read_text()


def test_every_setting_is_documented_and_no_other():
    in_code = set(re.findall(r'"(EXPORTER_\w+)"', (EXPORTER / "conf.py").read_text()))
    in_docs = set(re.findall(r"^\| `(EXPORTER_\w+)`", read("docs/settings.md"), re.MULTILINE))

    assert in_code == in_docs


def test_every_default_is_documented():
    code = (EXPORTER / "conf.py").read_text()
    defaults = dict(re.findall(r'getattr\(settings, "(EXPORTER_\w+)", (.*)\)', code))
    table = re.findall(r"^\| `(EXPORTER_\w+)` \| `(.*?)` ", read("docs/settings.md"), re.MULTILINE)

    assert dict(table) == defaults


def test_every_check_is_documented_and_no_other():
    code = "".join(path.read_text() for path in EXPORTER.rglob("*.py"))
    in_code = set(re.findall(r'id="(exporter\.\w+)"', code))
    in_docs = set(re.findall(r"^\| `(exporter\.\w+)`", read("docs/checks.md"), re.MULTILINE))

    assert in_code == in_docs


def test_every_error_is_documented():
    names = re.findall(r"^class (\w+)", (EXPORTER / "exceptions.py").read_text(), re.MULTILINE)

    assert names
    assert [name for name in names if f"`{name}`" not in read("docs/errors.md")] == []


@pytest.mark.parametrize("name", BUILTIN_FORMATS)
def test_every_format_is_documented(name):
    assert f"`{name}`" in read("docs/settings.md")


def test_every_option_of_the_export_command_is_documented_and_no_other():
    parser = Export().create_parser("manage.py", "export_queryset")
    plain = BaseCommand().create_parser("manage.py", "export_queryset")
    options = set(parser._option_string_actions) - set(plain._option_string_actions)
    in_docs = set(re.findall(r"^\| `(--[a-z-]+)`", read("docs/command-line.md"), re.MULTILINE))

    assert options == in_docs


def test_every_parameter_of_the_list_is_documented_and_no_other():
    section = read("docs/api.md").partition("## The list")[2].partition("## ")[0]
    rows = re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)
    in_docs = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    suffixes = {"start_time": ["_after", "_before"], "row_count": ["_min", "_max"]}
    suffixes["file_size"] = suffixes["row_count"]
    in_code = {
        name + suffix
        for name in QueryExportFilterSet.base_filters
        for suffix in suffixes.get(name, [""])
    }

    assert in_docs == in_code | {"fields", "page_size", "cursor"}
    for name in QueryExportFilterSet.base_filters["ordering"].param_map:
        assert f"`{name}`" in section


def test_the_documented_export_has_the_keys_of_the_api():
    section = read("docs/api.md").partition("## An export")[2]
    shown = json.loads(re.search(r"```json\n(.*?)```", section, re.DOTALL)[1])

    assert list(shown) == QueryExportSerializer.Meta.fields
    assert list(shown["metadata"]) == list(QueryExport().metadata)


def test_every_type_of_parameter_is_documented():
    (text,) = re.findall(r"^`type` is ([^.]*)", read("docs/api.md"), re.MULTILINE)

    assert set(re.findall(r"`(\w+)`", text)) == {"string", *TYPES.values()}


def find_links(page):
    """Return the targets of the links and pictures of the page."""
    text = page.read_text()
    return re.findall(r"\]\(([^)]+)\)", text) + re.findall(r"^\[[^]]+\]: (.*)$", text, re.MULTILINE)


def find_file(page, target):
    """Return the file or folder of the repository to which the page's link leads, if it does."""
    path = target.partition("#")[0]
    if path.startswith(URLS["Source"]):
        in_repository = re.fullmatch(r"/(?:blob|raw|tree)/main/(.+)", path[len(URLS["Source"]) :])
        return ROOT / in_repository[1] if in_repository else None
    if path.startswith(("http://", "https://")):
        return None
    return page.parent / path if path else page


def list_anchors(page):
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in find_links(page):
        file = find_file(page, target)
        anchor = target.partition("#")[2]
        assert file is None or file.exists(), target
        assert file is None or not anchor or anchor in list_anchors(file), target


def test_addresses_of_the_package_lead_somewhere():
    assert len(URLS) == 5
    for name, url in URLS.items():
        assert url.startswith(URLS["Source"]), name
        file = find_file(README, url)
        assert file is None or file.exists(), name


def test_links_of_the_readme_work_on_any_site():
    links = find_links(README)
    assert len(links) > 10
    assert [link for link in links if not link.startswith(f"{URLS['Source']}/")] == []


def test_the_readme_defines_the_links_that_it_uses():
    text = re.sub(r"```.*?```|`[^`\n]*`", "", README.read_text(), flags=re.DOTALL)
    used = re.findall(r"\[([^]]+)\](?![(:])", text)
    defined = re.findall(r"^\[([^]]+)\]: ", text, re.MULTILINE)
    assert sorted(set(used)) == sorted(defined)


def test_every_page_is_in_the_list_of_pages():
    index = ROOT / "docs/README.md"
    listed = {find_file(index, target) for target in find_links(index)}
    assert set((ROOT / "docs").glob("*.md")) - {index} == listed - {ROOT / "docs/../README.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_in_the_docs_compiles(page):
    for block in re.findall(r"^( *)```python\n(.*?)^ *```", page.read_text(), re.DOTALL | re.M):
        indent, code = block
        code = re.sub(rf"^{indent}", "", code, flags=re.MULTILINE)
        compile(code.removesuffix(",\n"), page.name, "exec")


@pytest.fixture
def documented_formats(tmp_path, monkeypatch, settings):
    """Install the writers that docs/formats.md shows."""
    blocks = re.findall(r"```python\n(.*?)```", read("docs/formats.md"), re.DOTALL)
    tsv, setting, json_lines = blocks
    (tmp_path / "documented.py").write_text(tsv.replace("# reports/writers.py", "") + json_lines)
    monkeypatch.syspath_prepend(tmp_path)
    namespace = {}
    exec(setting.replace("reports.writers", "documented"), namespace)
    settings.EXPORTER_FORMATS = {
        **namespace["EXPORTER_FORMATS"],
        "jsonl": {"BACKEND": "documented.JSONLinesWriter"},
    }


@pytest.mark.parametrize(
    ("path", "content"),
    [("a.tsv", b"name\tid\r\n'=x\t7\r\n"), ("a.jsonl", b'{"name": "=x", "id": 7}\n')],
)
def test_documented_formats_work(db, documented_formats, path, content):
    Publisher.objects.create(id=7, name="=x")

    export = export_queryset(Publisher.objects.all(), ["name", "id"], path)

    with export.file.open() as file:
        assert file.read() == content

"""No cell is run, whichever separators a spreadsheet is told."""

from __future__ import annotations

import re

import pytest

from corpora import read_naughty_strings
from django_infra.exporter.export import export_queryset
from exporter.conftest import read
from spreadsheets import need_spreadsheet, open_text
from testapp.models import Everything

FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(1)", "＝1+1", "\ufeff=1+1", "=1+1;x", '"=1+1"']
STARTS = ["", "x;", "x\t", "x\n", "x\r\n", 'x;"', "x\n\t", ";;", "\t", "x,y;", '"\n']
ENDS = ["", ";y", "\ty", "\ny", ',"y']


@pytest.fixture
def hostile(db):
    """Create rows of what is a formula for somebody, or for nobody."""
    texts = [f"{start}{formula}{end}" for start in STARTS for formula in FORMULAS for end in ENDS]
    texts += [text for text in read_naughty_strings() if "\0" not in text]
    Everything.objects.bulk_create(Everything(integer=-5, char=text, text=text) for text in texts)
    return Everything.objects.order_by("pk")


@pytest.mark.external
@pytest.mark.parametrize("separators", [",", ";", "\t", ",;\t"], ids=ascii)
def test_no_cell_is_run(hostile, separators, tmp_path):
    need_spreadsheet()
    guarded = write(hostile, tmp_path / "guarded", escape_formulas=True)
    unguarded = write(hostile, tmp_path / "unguarded", escape_formulas=False)

    opened = open_text([*guarded, *unguarded], tmp_path, separators=separators)

    formulas = list(map(find_formulas, opened))
    assert formulas[:2] == [[], []]
    assert all(len(found) > 10 for found in formulas[2:])


def write(queryset, path, *, escape_formulas):
    """Write a file that begins with a text, and one that begins with a number."""
    paths = []
    for names in (["char", "id", "text"], ["integer", "text", "char"]):
        headers = dict(zip(names, ["=1+1", "x;=1+1", "x\t=1+1;y"], strict=True))
        export = export_queryset(queryset, headers, options={"escape_formulas": escape_formulas})
        paths.append(path.with_name(f"{path.name}-{names[0]}.csv"))
        paths[-1].write_bytes(read(export))
    return paths


def find_formulas(path):
    return re.findall(r'table:formula="[^"]*"', path.read_text())

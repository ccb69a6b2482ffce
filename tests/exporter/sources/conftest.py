from __future__ import annotations

import pytest

from django_infra.exporter.export import export_queryset
from django_infra.exporter.models import QueryExport
from django_infra.exporter.writers.csv import CSVWriter
from exporter.conftest import read


class ValuesCSVWriter(CSVWriter):
    """CSV of the values that Django makes, whatever a source could do sooner."""

    takes_text = False


@pytest.fixture
def export_both_ways(db, settings):
    """Export as usual and from values, and return what came of each: the bytes or the error."""
    settings.EXPORTER_FORMATS = {"values": {"BACKEND": f"{__name__}.ValuesCSVWriter"}}

    def export(qs, values, *, escape_formulas=True):
        return [_export(qs, values, format, escape_formulas) for format in ("csv", "values")]

    return export


@pytest.fixture
def get_path(db):
    """Return the path that the data of the last export took."""
    return lambda: _get_last("csv", "data_path")


def _get_last(format, field):
    """Return one field alone, since psycopg reads others only in its own styles."""
    exports = QueryExport.objects.filter(format=format).order_by("created_at", "id")
    return exports.values_list(field, flat=True).last()


def _export(qs, values, format, escape_formulas):
    options = {"escape_formulas": escape_formulas}
    try:
        export = export_queryset(qs, values, format=format, options=options)
    except Exception:
        return _get_last(format, "error_log")
    data = read(export)
    export.file.delete(save=False)
    return data

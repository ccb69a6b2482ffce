from __future__ import annotations

from django.db import connections
from django.utils.module_loading import import_string

from django_infra.exporter.columns import Selection
from django_infra.exporter.conf import conf
from django_infra.exporter.sources.base import Reading, Source
from django_infra.exporter.sources.cell_sql import UnknownForm

__all__ = ["Reading", "Source", "UnknownForm", "get_source"]

# By vendor; a driver that is not installed is not imported.
_SOURCES = {
    "mysql": "django_infra.exporter.sources.mysql.source.MySQLSource",
    "postgresql": "django_infra.exporter.sources.postgresql.source.PostgreSQLSource",
    "sqlite": "django_infra.exporter.sources.sqlite.source.SQLiteSource",
}


def get_source(selection: Selection) -> Source:
    """Return the source for the selection's database, bound to the calling thread."""
    vendor = connections[selection.queryset.db].vendor
    source_class = import_string(_SOURCES[vendor]) if vendor in _SOURCES else Source
    return source_class(selection, chunk_size=conf.chunk_size)

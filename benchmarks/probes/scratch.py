"""Export into files that nobody wants."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from uuid import uuid4

from django_infra.exporter.export import export_queryset
from django_infra.exporter.models import QueryExport
from shop.queries import COLUMNS, get_orders

_numbers = count()
_process = uuid4().hex


def export_some(limit: int | None = None) -> QueryExport:
    """Export so many orders, by default all, to a path of their own."""
    return export_queryset(get_orders()[:limit], COLUMNS, f"{_process}-{next(_numbers)}.csv")


@contextmanager
def export_all() -> Iterator[QueryExport]:
    """Export all orders, and delete the file at the end of the block."""
    export = export_some()
    try:
        yield export
    finally:
        export.file.delete(save=False)

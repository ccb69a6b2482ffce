"""Export by django-infra, as a project calls it: a tracked row, and a file in the storage."""

from __future__ import annotations

from pathlib import Path

from django_infra.exporter.export import export_queryset
from shop.models import OrderWithCustomField
from shop.queries import COLUMNS, get_orders

UNGUARDED = {"escape_formulas": False}


def export(path: str) -> None:
    export_queryset(get_orders(), COLUMNS, Path(path).name)


def export_unguarded(path: str) -> None:
    export_queryset(get_orders(), COLUMNS, Path(path).name, options=UNGUARDED)


def export_custom_field(path: str) -> None:
    orders = get_orders(OrderWithCustomField)
    export_queryset(orders, COLUMNS, Path(path).name, options=UNGUARDED)

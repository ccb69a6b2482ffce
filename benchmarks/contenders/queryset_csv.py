"""Export by django-queryset-csv: write_csv() on a values() queryset."""

from __future__ import annotations

from djqscsv import write_csv

from shop.queries import COLUMNS, get_orders


def export(path: str) -> None:
    with open(path, "wb") as file:
        write_csv(get_orders().values(*COLUMNS), file, use_verbose_names=False, field_order=COLUMNS)

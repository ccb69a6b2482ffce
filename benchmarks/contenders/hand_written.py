"""Export as most projects do: the queryset's iterator into csv.writer."""

from __future__ import annotations

import csv

from django.db import models

from shop.models import Order, OrderWithCustomField
from shop.queries import COLUMNS, get_orders


def export(path: str, model: type[models.Model] = Order) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in get_orders(model).values_list(*COLUMNS).iterator():
            writer.writerow(row)


def export_custom_field(path: str) -> None:
    export(path, OrderWithCustomField)

"""Export by django-import-export: a resource, its dataset, and the dataset's CSV."""

from __future__ import annotations

from import_export import resources
from import_export.fields import Field

from shop.models import Order
from shop.queries import COLUMNS, get_orders


class OrderResource(resources.ModelResource):
    customer_id = Field(attribute="customer_id", column_name="customer_id")
    code = Field(attribute="code", column_name="code")
    total = Field(attribute="total", column_name="total")

    class Meta:
        model = Order
        fields = COLUMNS
        export_order = COLUMNS


def export(path: str) -> None:
    # Without select_related() it sends a query for each row.
    dataset = OrderResource().export(get_orders().select_related("customer"))
    with open(path, "w", newline="", encoding="utf-8") as file:
        file.write(dataset.csv)

"""Define the tables of the benchmarks."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models


class UnchangedTextField(models.TextField):
    """Text that passes through Python, as the values of many custom fields do."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return value


class Dataset(models.Model):
    """The tables of one size that are filled, and with which version of the data."""

    rows = models.IntegerField(primary_key=True)
    version = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.rows} rows, version {self.version}"


class Customer(models.Model):
    name = models.CharField(max_length=100)

    class Meta:
        db_table = f"shop_customer_{settings.BENCH_ROWS}"

    def __str__(self) -> str:
        return self.name


class BaseOrder(models.Model):
    # A guest has no customer. Without key and index, so that the data is there in seconds.
    customer = models.ForeignKey(
        Customer,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    reference = models.CharField(max_length=20)
    ordered_at = models.DateTimeField()
    is_paid = models.BooleanField()
    price = models.DecimalField(max_digits=10, decimal_places=2)
    quantity = models.PositiveSmallIntegerField()
    token = models.UUIDField()
    due_on = models.DateField(null=True)
    weight = models.FloatField(null=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.reference


class Order(BaseOrder):
    note = models.TextField(blank=True)

    class Meta:
        db_table = f"shop_order_{settings.BENCH_ROWS}"


class OrderWithCustomField(BaseOrder):
    """The same rows, with a column for which there is no SQL form."""

    note = UnchangedTextField(blank=True)

    class Meta:
        managed = False
        db_table = f"shop_order_{settings.BENCH_ROWS}"

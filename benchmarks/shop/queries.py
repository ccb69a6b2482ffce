"""Build what every contender exports: twelve columns of mixed types, a join and two annotations."""

from __future__ import annotations

from django.db import models
from django.db.models import DecimalField, ExpressionWrapper, F, QuerySet
from django.db.models.functions import Upper

from shop.models import Order

COLUMNS = [
    "id",
    "customer_id",
    "customer__name",
    "code",
    "ordered_at",
    "is_paid",
    "price",
    "total",
    "token",
    "due_on",
    "weight",
    "note",
]


def get_orders(model: type[models.Model] = Order) -> QuerySet:
    """Return all orders, in no order, so that no contender waits for a sort."""
    total = ExpressionWrapper(
        F("price") * F("quantity"), DecimalField(max_digits=12, decimal_places=2)
    )
    return model._default_manager.annotate(code=Upper("reference"), total=total)


def get_sql() -> str:
    """Return the query as plain SQL, for programs that know nothing of Django."""
    sql, parameters = get_orders().values_list(*COLUMNS).query.sql_with_params()
    if parameters:
        raise ValueError(f"The query has the parameters {parameters!r}, but must have none.")
    return sql

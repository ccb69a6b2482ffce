"""Filter and order the rows of a list by what its URL asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.db.models import Choices, Exists, Model, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django_filters import filters as base
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ValidationError
from rest_framework.views import APIView

from django_infra.api.form_fields import (
    AnyOfField,
    DateRangeField,
    DateTimeRangeField,
    DecimalRangeField,
    IntegerRangeField,
    OrderingField,
    SearchField,
)
from django_infra.api.ordering import add_primary_key, is_to_many, resolve_order


class FilterBackend(DjangoFilterBackend):
    """Filter by ``filterset_class``, also in projects that do not install ``django_filters``.

    The browsable API renders the filters with that app's templates; without the app it has no
    filter form, where DjangoFilterBackend raises TemplateDoesNotExist. What is wrong with a range
    is told under the name of the parameter that it is about.
    """

    def filter_queryset(
        self, request: Any, queryset: QuerySet[Any], view: APIView
    ) -> QuerySet[Any]:
        filterset = self.get_filterset(request, queryset, view)
        if filterset is None:
            return queryset
        if not filterset.is_valid() and self.raise_exception:
            raise ValidationError(get_errors(filterset))
        return filterset.qs

    def to_html(self, request: HttpRequest, queryset: QuerySet[Any], view: APIView) -> str:
        if not apps.is_installed("django_filters"):
            return ""
        return super().to_html(request, queryset, view)


def get_errors(filterset: Any) -> dict[str, list[str]]:
    """Return the messages by the parameters that they are about."""
    errors: dict[str, list[str]] = {}
    for name, faults in filterset.errors.as_data().items():
        for fault in faults:
            suffix = getattr(fault, "suffix", None)
            errors.setdefault(f"{name}_{suffix}" if suffix else name, []).extend(fault.messages)
    return errors


class AnyOfFilter(base.MultipleChoiceFilter):
    """Rows with any of the values: ``?state=new&state=sold``."""

    field_class = AnyOfField

    def __init__(self, *, choices: object, field_name: str | None = None, **kwargs: Any) -> None:
        # Django's own fields take the class of the choices too.
        if isinstance(choices, type) and issubclass(choices, Choices):
            choices = choices.choices
        # One IN takes the place of an OR of all values, and needs no DISTINCT.
        options = {"distinct": False, "lookup_expr": "in", "null_label": None}
        super().__init__(field_name, **{**options, "choices": choices, **kwargs})

    def filter(self, qs: QuerySet[Model], value: list[str]) -> QuerySet[Model]:
        return base.Filter.filter(self, qs, value)


class BoundsFilter(base.RangeFilter):
    """Rows between two bounds, both of them included, either of which may be missing."""

    def filter(self, qs: QuerySet[Model], value: slice | None) -> QuerySet[Model]:
        if value is None:
            return qs
        # No BETWEEN for two bounds: it finds the same rows, and one bound needs these anyway.
        bounds = {"gte": value.start, "lte": value.stop}
        lookups = {
            f"{self.field_name}__{lookup}": bound
            for lookup, bound in bounds.items()
            if bound is not None
        }
        return self.get_method(qs)(**lookups) if lookups else qs


class IntegerRangeFilter(BoundsFilter):
    """Rows with an integer within bounds: ``?pages_min=100&pages_max=200``."""

    field_class = IntegerRangeField


class DecimalRangeFilter(BoundsFilter):
    """Rows with a number within bounds: ``?price_min=9.95&price_max=20``."""

    field_class = DecimalRangeField


class DateRangeFilter(BoundsFilter):
    """Rows of a span of days: ``?born_after=1900-01-01&born_before=1999-12-31``."""

    field_class = DateRangeField


class DateTimeRangeFilter(BoundsFilter):
    """Rows of a span of time: ``?sold_at_after=2026-03-01T00:00:00Z&sold_at_before=…``."""

    field_class = DateTimeRangeField


class SearchFilter(base.CharFilter):
    """Rows that have every word in one of the fields, case aside: ``?search=blue whale``."""

    field_class = SearchField

    def __init__(
        self, *, fields: Sequence[str], max_length: int = 200, max_words: int = 20, **kwargs: Any
    ) -> None:
        self.fields = fields
        limits = {"max_length": max_length, "max_words": max_words}
        super().__init__(**{"label": "Search", **limits, **kwargs})

    def filter(self, qs: QuerySet[Model], value: str) -> QuerySet[Model]:
        # A filter for each word, since the words may be in different fields and related rows.
        for word in dict.fromkeys(value.split()):
            condition = Q()
            for path in self.fields:
                condition |= self.get_condition(qs, f"{path}__icontains", path, word)
            qs = self.get_method(qs)(condition)
        return qs

    def get_condition(self, qs: QuerySet[Model], lookup: str, path: str, word: str) -> Q:
        """Ask by a subquery where a join would give a row several times."""
        if not is_to_many(qs.query, path):
            return Q(**{lookup: word})
        return Q(Exists(qs.model._base_manager.filter(pk=OuterRef("pk"), **{lookup: word})))


class OrderingFilter(base.OrderingFilter):
    """Order rows by ``?ordering=-pages,title``: nulls last, the primary key between equals."""

    base_field_class = OrderingField

    def filter(self, qs: QuerySet[Model], value: list[str] | None) -> QuerySet[Model]:
        if not value:
            return qs
        names = [self.get_ordering_value(param) for param in value]
        # Without the key rows that are equal could change places between two pages.
        columns = add_primary_key(qs.model, resolve_order(qs.query, names))
        return qs.order_by(*[column.get_order_by() for column in columns])

"""Give columns the labels of choices, as ``get_FOO_display()`` returns them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partialmethod
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Case, CharField, ExpressionWrapper, F, Field, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Collate
from django.db.models.lookups import Exact, IsNull
from django.db.models.sql.compiler import SQLCompiler
from django.utils.encoding import force_str
from django.utils.hashable import make_hashable

from django_infra.exporter.changelists.inputs import Field as AnyField

# No integer column holds a larger one, and a query that compares it may fail.
MAX_INTEGER = 2**63 - 1


def has_own_display(model: type[models.Model], field: AnyField) -> bool:
    """Tell whether the model, and not Django, says what its values are called."""
    method = inspect.getattr_static(model, f"get_{field.name}_display", None)
    if method is None:
        return False
    django_method: Any = models.Model._get_FIELD_display  # type: ignore[attr-defined]
    return not (isinstance(method, partialmethod) and method.func is django_method)


def has_label_of_nothing(field: AnyField) -> bool:
    """Tell whether NULL has a label, by which a row is not told from none."""
    return field.null and any(value is None for value, _ in field.flatchoices)


def make_label(path: str, field: AnyField, *, vendor: str) -> Combinable:
    """Return the expression whose values are the labels of the field at the path."""
    labels = {
        value: force_str(label, strings_only=True)
        for value, label in make_hashable(field.flatchoices)
    }
    if not field.null:
        # NULL is then what a missing row has, of which no page shows a label.
        labels.pop(None, None)
    # Elsewhere equality depends on collations, and texts are made in other ways than Python's.
    cases = _find_cases(field, labels) if vendor == "postgresql" else None
    if cases is None:
        return Label(F(path), labels)
    # Columns can have collations that take one text for another.
    is_text = isinstance(field, models.CharField | models.TextField)
    column = Collate(F(path), "C") if is_text else F(path)
    whens = [
        When(
            IsNull(F(path), True) if value is None else Exact(column, Value(value)),
            then=Value(label),
        )
        for value, label in cases.items()
    ]
    return Case(*whens, default=Cast(F(path), CharField()), output_field=CharField())


class Label(ExpressionWrapper):  # type: ignore[type-arg]  # no generic at run time
    """A column whose values become labels as they arrive."""

    def __init__(self, expression: Any, labels: Mapping[Any, Any]) -> None:
        # It has no type of its own, so that nothing is converted but what the column itself needs.
        super().__init__(expression, output_field=Field())
        self.labels = labels

    def get_group_by_cols(self) -> Any:
        return self.expression.get_group_by_cols()

    def select_format(self, compiler: SQLCompiler, sql: str, params: Any) -> Any:
        return self.expression.select_format(compiler, sql, params)

    def get_db_converters(self, connection: BaseDatabaseWrapper) -> list[Callable[..., object]]:
        column: Any = self.expression
        own = [*connection.ops.get_db_converters(column), *column.get_db_converters(connection)]

        def convert(value: object, expression: object, connection: BaseDatabaseWrapper) -> object:
            for converter in own:
                value = converter(value, column, connection)
            # A value that is no choice any more stays as it is.
            return force_str(self.labels.get(make_hashable(value), value), strings_only=True)

        return [convert]


def _find_cases(field: AnyField, labels: Mapping[Any, Any]) -> dict[Any, str] | None:
    """Return the labels by value, or None unless SQL finds them as Python does."""
    kind = type(field)
    if kind.__module__ != "django.db.models.fields" or not all(map(_is_text, labels.values())):
        return None
    values = {value: label for value, label in labels.items() if value is not None}
    cases: dict[Any, str] = {None: labels[None]} if None in labels else {}
    if issubclass(kind, models.BooleanField):
        return cases | {value: labels.get(value, str(value)) for value in (True, False)}
    # No text is a number to Python, and no number a text.
    if issubclass(kind, models.IntegerField):
        if all(type(value) in (bool, int, str) for value in values):
            numbers = {int(key): text for key, text in values.items() if not isinstance(key, str)}
            return cases | numbers if all(abs(each) <= MAX_INTEGER for each in numbers) else None
    elif issubclass(kind, models.CharField | models.TextField):
        texts = {key: text for key, text in values.items() if type(key) not in (bool, int)}
        return cases | texts if all(map(_is_text, texts)) else None
    return None


def _is_text(value: object) -> bool:
    """Tell whether it is a plain text that PostgreSQL can hold."""
    if type(value) is not str or "\0" in value:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)

"""Short ways from a column of the database to the cells of its values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models.sql.compiler import SQLCompiler

# Django's own converters, by their qualified names.
CONVERT_VALUE = "BaseExpression.convert_value.<locals>.<lambda>"
CONVERT_BOOLEAN = "DatabaseOperations.convert_booleanfield_value"
CONVERT_DATE = "DatabaseOperations.convert_datefield_value"
CONVERT_DATETIME = "DatabaseOperations.convert_datetimefield_value"
CONVERT_DECIMAL = "DatabaseOperations.get_decimalfield_converter.<locals>.converter"
CONVERT_TIME = "DatabaseOperations.convert_timefield_value"
CONVERT_UUID = "DatabaseOperations.convert_uuidfield_value"


def _leave(cells: Sequence[Any]) -> Sequence[str | None]:
    return cells


@dataclass(frozen=True)
class Form:
    """What to select in place of a column, and how to make cells of what comes."""

    sql: str = "{}"
    read: Callable[[Sequence[Any]], Sequence[str | None]] = _leave


def name_converters(converters: Iterable[Any]) -> tuple[str, ...]:
    """Return the qualified names of Django's own converters; any other one is a '?'."""
    return tuple(
        converter.__qualname__
        if (getattr(converter, "__module__", None) or "").startswith("django.db.")
        else "?"
        for converter in converters
    )


class _Formed:
    """Stands for an expression among the selected ones, so that nothing refers to its position."""

    alias = None


def put_forms(compiler: SQLCompiler, forms: Mapping[int, Form]) -> None:
    """Have the compiler select the forms, by the positions of the expressions that they are of.

    An ordering by one of these expressions repeats it, where it would name its position.
    """
    get_select = compiler.get_select

    def get_formed_select(with_col_aliases: bool = False) -> tuple[Any, Any, Any]:
        select, klass_info, annotations = get_select(with_col_aliases=with_col_aliases)
        formed: list[Any] = list(select)
        for position, form in forms.items():
            _, (sql, params), _ = select[position]
            formed[position] = (_Formed(), (form.sql.format(sql), params), None)
        return formed, klass_info, annotations

    compiler.get_select = get_formed_select  # type: ignore[method-assign]

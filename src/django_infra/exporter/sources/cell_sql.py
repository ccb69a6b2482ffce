"""Short ways from a column of the database to the cells of its values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models.expressions import Col
from django.db.models.sql.compiler import SQLCompiler

# Django's own converters, by their qualified names.
CONVERT_VALUE = "BaseExpression.convert_value.<locals>.<lambda>"
CONVERT_BOOLEAN = "DatabaseOperations.convert_booleanfield_value"
CONVERT_DATE = "DatabaseOperations.convert_datefield_value"
CONVERT_DATETIME = "DatabaseOperations.convert_datetimefield_value"
CONVERT_DECIMAL = "DatabaseOperations.get_decimalfield_converter.<locals>.converter"
CONVERT_TIME = "DatabaseOperations.convert_timefield_value"
CONVERT_UUID = "DatabaseOperations.convert_uuidfield_value"


INTEGER_FIELDS = {
    "BigIntegerField",
    "IntegerField",
    "PositiveBigIntegerField",
    "PositiveIntegerField",
    "PositiveSmallIntegerField",
    "SmallIntegerField",
}

PLAIN = "{0}"


class UnknownForm(Exception):
    """A value cannot become a cell in the short way that its column was to take."""


def _leave(cells: Sequence[Any]) -> Sequence[str | None]:
    return cells


@dataclass(frozen=True)
class Form:
    """What to select in place of a column, and how to make cells of what comes.

    ``read`` returns None for values that only the converters of the column can tell, and raises
    UnknownForm if even they could not, for a column that is selected in another form.
    """

    sql: str = PLAIN
    read: Callable[[Sequence[Any]], Sequence[str | None] | None] = _leave


@dataclass(frozen=True)
class Conversion:
    """What Django does to the values of a column."""

    # The converters' qualified names where they are Django's own, and '?' otherwise.
    names: tuple[str, ...]
    internal_type: str
    # The expression, if it is nothing but a column of a table.
    column: Col | None

    @property
    def is_bare(self) -> bool:
        return self.column is not None

    def keeps(self, internal_types: Collection[str]) -> bool:
        """Tell whether values stay as they are, which are of a type that suits these fields."""
        return not self.names or (
            self.names == (CONVERT_VALUE,) and self.internal_type in internal_types
        )


def describe_conversion(expression: Any, converters: Iterable[Any]) -> Conversion:
    names = tuple(
        converter.__qualname__
        if (getattr(converter, "__module__", None) or "").startswith("django.db.")
        else "?"
        for converter in converters
    )
    internal_type = expression.output_field.get_internal_type() if names else ""
    return Conversion(names, internal_type, expression if isinstance(expression, Col) else None)


class _Formed:
    """Stands for an expression among the selected ones, so that nothing refers to its position."""

    alias = None


def can_put_forms(compiler: Any) -> bool:
    """Tell whether what a compiler that has run selects does nothing but show a row.

    Else rows are told apart or grouped by it, or an outer query knows its names.
    """
    query = compiler.query
    return not (
        query.distinct
        or query.combinator
        or query.extra
        or query.extra_order_by
        or query.group_by is not None
        or compiler.qualify
    )


def get_ordering_indexes(compiler: Any) -> Collection[int]:
    """Return the computed expressions that the ordering names instead of computing them again."""
    references: list[Any] = [
        order.expression for order, (_, _, is_reference) in compiler.get_order_by() if is_reference
    ]
    return {
        reference.ordinal - 1
        for reference in references
        if hasattr(reference, "ordinal") and not isinstance(reference.source, Col)
    }


def put_forms(compiler: SQLCompiler, forms: Mapping[int, str]) -> None:
    """Have the compiler select the forms, by the indexes of the expressions that they are of.

    An ordering by one of these expressions repeats it, where it would name its position.
    """
    get_select = compiler.get_select

    def get_formed_select(with_col_aliases: bool = False) -> tuple[Any, Any, Any]:
        select, klass_info, annotations = get_select(with_col_aliases=with_col_aliases)
        formed: list[Any] = list(select)
        for index, form in forms.items():
            _, (sql, params), _ = select[index]
            formed[index] = (
                _Formed(),
                (form.format(sql), (*params,) * form.count("{0}")),
                None,
            )
        return formed, klass_info, annotations

    compiler.get_select = get_formed_select  # type: ignore[method-assign]

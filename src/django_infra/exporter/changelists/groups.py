"""Group columns as a page offers them, by the model that they are of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.db import models
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from django_infra.exporter.changelists.inputs import Field
from django_infra.exporter.changelists.labels import (
    has_label_of_nothing,
    has_own_display,
    make_label,
)
from django_infra.exporter.columns import Value


@dataclass(frozen=True)
class OfferedColumn:
    """A column that the user may choose, and what it is called on the page and in the file."""

    path: str
    label: str
    # The file has it, unless it is to have the names of fields.
    header: str
    # The path of a field and the field, if the column shows the labels of its choices.
    labelled: tuple[str, Field] | None = None

    @property
    def source(self) -> str:
        """Return the path of the field whose values, or their labels, the column shows."""
        return self.path if self.labelled is None else self.labelled[0]

    def get_value(self, vendor: str) -> Value:
        """Return what ``select()`` takes as the column on a database of this vendor."""
        return self.path if self.labelled is None else make_label(*self.labelled, vendor=vendor)


@dataclass(frozen=True)
class ColumnGroup:
    """The columns of one model: that of the change list, or one that a relation leads to."""

    label: str
    path: str
    columns: Sequence[OfferedColumn]
    # The headers of what only the project's own Python makes of fields, by their paths.
    computed: Mapping[str, str] = field(default_factory=dict)


def make_group(
    model: type[models.Model],
    fields: Iterable[Field],
    *,
    path: str = "",
    label: str = "",
    may_be_missing: bool = False,
) -> ColumnGroup:
    """Return the columns of the fields of a model; the label is that of the way to it.

    ``may_be_missing`` says that the way may lead to no row.
    """
    columns, computed = [], {}
    prefix = f"{label}: " if label else ""
    code = _("%s (code)")
    key = _("%s (ID)")
    for each in fields:
        name, where = str(capfirst(each.verbose_name)), path + each.name
        if each.is_relation:
            name = key % name
        elif each.flatchoices:
            is_unclear = may_be_missing and has_label_of_nothing(each)
            if is_unclear or has_own_display(model, each):
                computed[where] = prefix + name
            else:
                shown = f"{path}get_{each.name}_display"
                columns.append(OfferedColumn(shown, name, prefix + name, (where, each)))
            name = code % name
        columns.append(OfferedColumn(where, name, prefix + name))
    return ColumnGroup(label, path, columns, computed)


def list_columns(groups: Iterable[ColumnGroup]) -> dict[str, OfferedColumn]:
    """Return the columns of all groups by their paths."""
    return {column.path: column for group in groups for column in group.columns}


def filter_groups(groups: Iterable[ColumnGroup], keeps: Callable[[str], bool]) -> list[ColumnGroup]:
    """Return the groups with the columns of which the path is kept, and that of the source."""
    filtered = [
        replace(
            group,
            columns=[
                each
                for each in group.columns
                if keeps(each.path) and (each.labelled is None or keeps(each.source))
            ],
            computed={path: header for path, header in group.computed.items() if keeps(path)},
        )
        for group in groups
    ]
    return [group for group in filtered if group.columns or not group.path]


def tell_apart(groups: list[ColumnGroup]) -> list[ColumnGroup]:
    """Add the path to headers that several columns have, until none is left."""
    counts = Counter(column.header for group in groups for column in group.columns)
    if all(count == 1 for count in counts.values()):
        return groups
    return tell_apart(
        [
            replace(
                group,
                columns=[
                    column
                    if counts[column.header] == 1
                    else replace(column, header=f"{column.header} ({column.path})")
                    for column in group.columns
                ],
            )
            for group in groups
        ]
    )

"""List the relations by which a row leads to at most one other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from django.db import models
from django.utils.text import capfirst

# A field of a relation to one row, whatever the model.
RelatedField: TypeAlias = "models.ForeignObject[object, object]"


@dataclass(frozen=True)
class Relation:
    """A way to at most one other row."""

    name: str
    label: str
    model: type[models.Model]
    # The name of the relation that leads back.
    reverse: str | None
    # The field that makes it.
    field: RelatedField
    is_backward: bool = False


def list_relations(model: type[models.Model]) -> Iterator[Relation]:
    """Yield the foreign keys of the model, and the one-to-ones from and to it."""
    fields: Iterable[Any] = model._meta.concrete_fields
    for field in fields:
        if not field.is_relation or field.remote_field.parent_link:
            continue
        is_single = field.one_to_one and not field.remote_field.hidden
        back = field.related_query_name() if is_single else None
        label = str(capfirst(field.verbose_name))
        yield Relation(field.name, label, field.related_model, back, field)
    for relation in model._meta.related_objects:
        if relation.one_to_one and not relation.parent_link:
            related = relation.related_model
            label = str(capfirst(related._meta.verbose_name))
            back = relation.field
            yield Relation(relation.name, label, related, back.name, back, True)

"""List the relations by which a row leads to at most one other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.utils.text import capfirst


@dataclass(frozen=True)
class Relation:
    """A way to at most one other row."""

    name: str
    label: str
    model: type[models.Model]
    # What leads back.
    reverse: str | None
    # What makes it, and the model whose admin shows that or does not.
    field: Any
    owner: type[models.Model]
    is_backward: bool = False


def list_relations(model: type[models.Model]) -> Iterator[Relation]:
    fields: Iterable[Any] = model._meta.concrete_fields
    for field in fields:
        if not field.is_relation or field.remote_field.parent_link:
            continue
        is_single = field.one_to_one and not field.remote_field.hidden
        back = field.related_query_name() if is_single else None
        label = str(capfirst(field.verbose_name))
        yield Relation(field.name, label, field.related_model, back, field, model)
    for relation in model._meta.related_objects:
        if relation.one_to_one and not relation.parent_link:
            related = relation.related_model
            label = str(capfirst(related._meta.verbose_name))
            back = relation.field
            yield Relation(relation.name, label, related, back.name, back, related, True)

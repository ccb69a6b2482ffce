"""Note the columns and relations that the fields of a serializer read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db.models import Model
from django.db.models.constants import LOOKUP_SEP


@dataclass(eq=False)
class Needs:
    """What is read of the rows of a model, and of the rows that they lead to.

    ``whole`` rows may be read in ways that nobody has told; ``given`` names are on the rows
    whatever is loaded, and ``taken`` are those of them that are read.
    """

    model: type[Model]
    accessor: str = ""
    given: Collection[str] = ()
    taken: set[str] = field(default_factory=set)
    columns: set[str] = field(default_factory=set)
    one: dict[str, Needs] = field(default_factory=dict)
    many: dict[str, Needs] = field(default_factory=dict)
    whole: bool = False

    def get_columns(self) -> set[str]:
        """Return the names of the columns to load."""
        opts = self.model._meta
        # Without its key a row could neither be told from others nor load what it lacks.
        fields = opts.concrete_fields if self.whole else opts.pk_fields
        return self.columns | {field.attname for field in fields}

    def get_related(self) -> Iterator[Needs]:
        """Yield what is read of the rows that these lead to."""
        yield from self.one.values()
        yield from self.many.values()

    def find(self, name: str) -> Any:
        """Return the field that an attribute or a lookup names, if it is one of the database."""
        opts = self.model._meta
        try:
            found: Any = opts.get_field(name)
        except FieldDoesNotExist:
            # An attribute has the accessor's name, author_set, where a lookup has author.
            reverse = {rel.get_accessor_name(): rel for rel in opts.related_objects}
            found = reverse.get(name)
        # A generic foreign key leads to rows of any model.
        if found is None or (found.is_relation and found.related_model is None):
            return None
        return found

    def take(self, name: str) -> bool:
        """Tell whether a name is on the rows whatever is loaded."""
        if name in self.given:
            self.taken.add(name)
        return name == "pk" or name in self.given

    def add_path(self, path: str) -> None:
        """Add the column or the relation at the end of a path of lookups."""
        name, _, rest = path.partition(LOOKUP_SEP)
        found = self.find(name)
        if self.take(name):
            return
        if found is None:
            label = self.model._meta.label
            raise ImproperlyConfigured(
                f"{label} has no field {name!r}, which requires or required_fields names."
            )
        if not is_followed(found, name):
            self.add_column(found)
        elif rest:
            self.follow(found).add_path(rest)
        else:
            self.follow(found).whole = True

    def add_column(self, found: Any) -> None:
        """Add the column of a field."""
        self.columns.add(found.attname)
        # An image reads its size from these whenever a row is made.
        dimensions = (getattr(found, name, None) for name in ("width_field", "height_field"))
        self.columns.update(name for name in dimensions if name)

    def follow(self, found: Any) -> Needs:
        """Add a relation, with the columns that tie its rows to these."""
        if found.name in self.many or found.name in self.one:
            return self.many.get(found.name) or self.one[found.name]
        accessor = found.name if is_forward(found) else found.get_accessor_name()
        related = Needs(found.related_model, accessor)
        if found.many_to_many or found.one_to_many:
            self.many[found.name] = related
        else:
            self.one[found.name] = related
        self.tie(found, related)
        return related

    def tie(self, found: Any, related: Needs) -> None:
        """Add the columns on both sides by which the rows of a relation find each other."""
        if found.many_to_many:
            # The table between the two names a column on each side, mostly the keys.
            forward = is_forward(found)
            key = found if forward else found.field
            ends = [key.m2m_target_field_name(), key.m2m_reverse_target_field_name()]
            here, there = ends if forward else reversed(ends)
            self.add_column(self.model._meta.get_field(here))
            related.add_column(related.model._meta.get_field(there))
        elif is_forward(found) and found.one_to_many:
            # A generic relation goes by columns of its own.
            self.whole = related.whole = True
        elif is_forward(found):
            self.add_columns(found.local_related_fields)
        else:
            self.add_columns(found.field.foreign_related_fields)
            related.add_columns(found.field.local_related_fields)

    def add_columns(self, fields: Sequence[Any]) -> None:
        """Add the columns of the fields."""
        for found in fields:
            self.add_column(found)

    def get_child(self, accessor: str) -> Needs | None:
        """Return what is read of the rows behind an attribute."""
        return next((child for child in self.get_related() if child.accessor == accessor), None)


def is_forward(found: Any) -> bool:
    """Tell whether a relation is declared on the model itself, and not on the other one."""
    return found.concrete or not found.auto_created


def is_followed(found: Any, name: str) -> bool:
    """Tell whether a name means the rows of a relation, and not the column of its key."""
    is_key = found.concrete and not found.many_to_many
    return found.is_relation and not (is_key and found.attname == name)

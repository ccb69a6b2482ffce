"""Find what a serializer reads of the objects that it shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from rest_framework.relations import (
    HyperlinkedIdentityField,
    HyperlinkedRelatedField,
    ManyRelatedField,
    PrimaryKeyRelatedField,
    RelatedField,
    SlugRelatedField,
)
from rest_framework.serializers import ListSerializer

from django_infra.api.needs import Needs, is_followed
from django_infra.api.selection import AnySerializer, Selection, get_nested, get_readable


def add_serializer(
    needs: Needs, serializer: AnySerializer, selection: Selection | None = None
) -> None:
    """Add what the asked for fields of a serializer read."""
    requires = get_requires(serializer)
    # Code of the project's own may read what it likes, unless it declares what that is.
    if is_custom(serializer, "to_representation") and "*" not in requires:
        needs.whole = True
    for path in requires.get("*", ()):
        needs.add_path(path)
    for name, field in get_readable(serializer).items():
        if selection is None:
            _add_field(needs, field, requires, None)
        elif name in selection:
            _add_field(needs, field, requires, selection[name])


def get_requires(serializer: AnySerializer) -> Mapping[str, Any]:
    """Return the paths that ``Meta.requires`` declares for each field."""
    requires: Mapping[str, Any] = getattr(getattr(serializer, "Meta", None), "requires", {})
    return requires


def is_custom(instance: object, method: str) -> bool:
    """Tell whether a method is not of REST framework, and may read what it likes."""
    module: str = getattr(type(instance), method).__module__
    return not module.startswith("rest_framework.")


def _add_field(
    needs: Needs, field: Any, requires: Mapping[str, Any], selection: Selection | None
) -> None:
    declared = requires.get(field.field_name)
    if isinstance(declared, str):
        raise ImproperlyConfigured(
            f"requires[{field.field_name!r}] is {declared!r}, but must be a list of paths."
        )
    for path in declared or ():
        needs.add_path(path)
    nested = get_nested(field)
    if nested is not None and field.source == "*":
        add_serializer(needs, nested, selection)
    elif nested is not None or declared is None:
        _add_source(needs, field, selection)


def _add_source(needs: Needs, field: Any, selection: Selection | None) -> None:
    """Follow the source of a field as far as it is known; who stands there is needed whole."""
    if isinstance(field, HyperlinkedIdentityField):
        _add_shown(needs, field)
        return
    # Each name of a source is an attribute: a column, a relation, or something of the model's own.
    names = [] if is_custom(field, "get_attribute") else field.source_attrs
    for position, name in enumerate(names, start=1):
        found = needs.find(name)
        if needs.take(name):
            return
        if found is None:
            break
        if not is_followed(found, name):
            # The rest of the path is read of the column's value.
            needs.add_column(found)
            return
        if position == len(names):
            _add_relation(needs, found, field, selection)
            return
        if found.many_to_many or found.one_to_many:
            # An attribute of a manager is code that nobody knows.
            break
        needs = needs.follow(found)
    needs.whole = True


def _add_relation(needs: Needs, found: Any, field: Any, selection: Selection | None) -> None:
    target = field.child_relation if isinstance(field, ManyRelatedField) else field
    # The key of the other row stands in this one, so that no row has to be loaded for it.
    if found.concrete and not found.many_to_many and is_key_alone(target):
        needs.add_column(found)
        return
    related = needs.follow(found)
    nested = get_nested(field)
    # A list that represents itself in its own way may read the rows in any way.
    if nested is not None and not (
        isinstance(field, ListSerializer) and is_custom(field, "to_representation")
    ):
        add_serializer(related, nested, selection)
        return
    _add_shown(related, target)


def _add_shown(needs: Needs, field: Any) -> None:
    """Add what a relational field shows its rows by."""
    name = get_shown_name(field)
    if name is None or (name != "pk" and needs.find(name.split("__")[0]) is None):
        needs.whole = True
    else:
        needs.add_path(name)


def is_key_alone(field: object) -> bool:
    """Tell whether a field shows the key of a row, which stands in the column of the relation."""
    return isinstance(field, RelatedField) and field.use_pk_only_optimization()


def get_shown_name(field: object) -> str | None:
    """Return the only thing that a relational field reads of the rows it shows."""
    if is_custom(field, "to_representation"):
        return None
    if isinstance(field, PrimaryKeyRelatedField):
        return "pk"
    if isinstance(field, SlugRelatedField):
        return field.slug_field
    if isinstance(field, HyperlinkedRelatedField):
        return field.lookup_field
    return None

"""Parse ``?fields=id,author(name)``, and prune a serializer to what it asks for."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Any, TypeAlias

from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.serializers import Field, ListSerializer, Serializer

from django_infra.api.form_fields import show, show_choices

QUERY_PARAM = "fields"
# Bounds on what a stranger may send; each level is one of recursion.
MAX_LENGTH = 2000
MAX_DEPTH = 10
TOKEN = re.compile(r"[(),]|[^\s(),]+")

# Names with what is asked for inside them; None is all of it.
Selection: TypeAlias = "dict[str, Selection | None]"
# A serializer of objects of any class.
AnySerializer: TypeAlias = Serializer[Any]
AnyField: TypeAlias = "Field[Any, Any, Any, Any]"


class InvalidSelection(ValueError):
    """The text is not a list of names."""


def read_selection(request: Request, serializer: AnySerializer) -> Selection | None:
    """Return what a request asks for; raise ValidationError if it is not in the serializer."""
    # A parameter that comes twice asks for both.
    texts = [text for text in request.GET.getlist(QUERY_PARAM) if text.strip()]
    if not texts:
        return None
    try:
        selection = parse(",".join(texts))
    except InvalidSelection as error:
        raise ValidationError({QUERY_PARAM: [str(error)]}) from error
    if faults := list(find_faults(serializer, selection)):
        raise ValidationError({QUERY_PARAM: faults})
    return selection


def parse(text: str) -> Selection:
    """Return the selection of a text; raise InvalidSelection if it is none."""
    if len(text) > MAX_LENGTH:
        raise InvalidSelection(f"More than {MAX_LENGTH} characters.")
    tokens = deque(TOKEN.findall(text))
    selection = _parse_names(tokens, depth=1)
    if tokens:
        raise InvalidSelection(f"Expected ',' and not {show(tokens[0])}.")
    return selection


def _parse_names(tokens: deque[str], *, depth: int) -> Selection:
    if depth > MAX_DEPTH:
        raise InvalidSelection(f"More than {MAX_DEPTH} levels.")
    selection: Selection = {}
    while True:
        name = tokens.popleft() if tokens else ""
        if name in ("", "(", ")", ","):
            raise InvalidSelection(f"Expected a name and not {show(name) if name else 'the end'}.")
        inside: Selection | None = None
        if tokens and tokens[0] == "(":
            tokens.popleft()
            inside = _parse_names(tokens, depth=depth + 1)
            if not tokens or tokens.popleft() != ")":
                raise InvalidSelection("Expected ')' after the names in '('.")
        # What is asked for twice is shown with all that either asks for.
        selection[name] = _unite(selection[name], inside) if name in selection else inside
        if not tokens or tokens[0] != ",":
            return selection
        tokens.popleft()


def _unite(one: Selection | None, other: Selection | None) -> Selection | None:
    # All of it is more than any part.
    if one is None or other is None:
        return None
    united = {**one, **other}
    for name in one.keys() & other.keys():
        united[name] = _unite(one[name], other[name])
    return united


def find_faults(serializer: AnySerializer, selection: Selection, path: str = "") -> Iterator[str]:
    """Yield what of the selection is not in the serializer."""
    readable = get_readable(serializer)
    if unknown := [show(path + name) for name in selection if name not in readable]:
        place = f" in {path[:-1]!r}" if path else ""
        yield f"Unknown: {', '.join(unknown)}. Allowed{place}: {show_choices(readable)}."
    for name, inside in selection.items():
        if inside is None or name not in readable:
            continue
        nested = get_nested(readable[name])
        if nested is None:
            yield f"{path + name!r} has no fields inside."
        else:
            yield from find_faults(nested, inside, f"{path}{name}.")


def get_readable(serializer: AnySerializer) -> dict[str, AnyField]:
    """Return the fields of the output, by name."""
    fields = serializer.fields.items()
    return {name: field for name, field in fields if not field.write_only}


def get_nested(field: object) -> AnySerializer | None:
    """Return the serializer that a field shows one or many objects with."""
    if isinstance(field, ListSerializer):
        field = field.child
    return field if isinstance(field, Serializer) else None


def prune(serializer: AnySerializer, selection: Selection) -> None:
    """Take away the fields that are not asked for."""
    for name, field in list(serializer.fields.items()):
        inside = selection.get(name)
        nested = get_nested(field)
        if name not in selection:
            del serializer.fields[name]
        elif inside is not None and nested is not None:
            prune(nested, inside)

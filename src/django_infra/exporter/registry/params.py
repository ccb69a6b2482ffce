"""Validate the parameters of a named export."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, time
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.forms import BaseForm
from django.utils.datastructures import MultiValueDict

from django_infra.exporter.exceptions import InvalidParams
from django_infra.exporter.registry.named_export import NamedExport, User

MAX_LENGTH = 100_000  # characters of JSON
MAX_DEPTH = 20  # levels; MariaDB takes 32
MAX_SHOWN = 10  # unknown parameters, in a message
SURROGATE = re.compile("[\ud800-\udfff]")


class _Data(MultiValueDict[str, Any]):
    """The data of a form, which knows for which of its keys the form has asked, and how."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        data: dict[str, list[object]] = {}
        for key, value in params.items():
            # Fields and widgets know what a request would send, which is text.
            data[key] = [
                each
                if each is None or isinstance(each, str)
                else json.dumps(each, ensure_ascii=False)
                for each in (value if isinstance(value, list) else [value])
            ]
        super().__init__(data)
        self.asked: set[str] = set()
        self.listed: set[str] = set()

    def __copy__(self) -> _Data:
        # Forms of projects copy their data to change it.
        return self.__deepcopy__()

    def __deepcopy__(self, memo: Any = None) -> _Data:
        copied = _Data({key: list(values) for key, values in self.lists()})
        copied.asked, copied.listed = self.asked, self.listed
        return copied

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.asked.add(str(key))
        return super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)

    def getlist(self, key: str, default: Any = None) -> list[Any]:
        self.asked.add(key)
        self.listed.add(key)
        return super().getlist(key, default)


class _Encoder(DjangoJSONEncoder):
    """Keep the microseconds, which Django cuts as JavaScript does."""

    def default(self, value: Any) -> Any:
        return value.isoformat() if isinstance(value, datetime | time) else super().default(value)


def serialize(params: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the parameters as JSON gives them back, in which a job carries them.

    Raises InvalidParams for what JSON or a database cannot hold.
    """
    if params is None:
        return {}
    if not isinstance(params, Mapping):
        raise InvalidParams(f"params must be a mapping of names to values, not {params!r}.")
    items = dict(params.items())
    if isinstance(params, MultiValueDict):
        # items() of a QueryDict gives the last value of each key.
        items = {key: values[0] if len(values) == 1 else values for key, values in params.lists()}
    if unnamed := [key for key in items if not isinstance(key, str)]:
        raise InvalidParams(f"params has the key {unnamed[0]!r}, which is not a str.")
    try:
        text = json.dumps(items, cls=_Encoder, ensure_ascii=False, allow_nan=False)
        text.encode()
        data: dict[str, Any] = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidParams(f"params cannot be carried as JSON: {error}") from error
    if len(text) > MAX_LENGTH:
        raise InvalidParams(
            f"params has {len(text)} characters as JSON, but may have {MAX_LENGTH}."
        )
    if _get_depth(data, MAX_DEPTH + 1) > MAX_DEPTH:
        raise InvalidParams(f"params is nested deeper than {MAX_DEPTH} levels.")
    if "\\u0000" in text and _has_null(data):
        raise InvalidParams("params holds a NUL character, which databases refuse.")
    return data


def bind(named: NamedExport, params: Mapping[str, Any], user: User | None) -> dict[str, Any]:
    """Return the ``cleaned_data`` of the export's form.

    Raises InvalidParams for what the form refuses or has no field for.
    """
    data = _Data(params)
    form = named.get_form(data, user)
    if form.is_multipart():
        raise InvalidParams(f"The form of {named.name!r} takes files, which a job cannot carry.")
    try:
        is_valid = form.is_valid()
    except (OverflowError, ValueError) as error:
        # Some numbers are beyond what Python reads, or a database takes.
        raise InvalidParams(f"Invalid params for {named.name!r}: {error}") from error
    # First of all, since a misspelt parameter is also missing under its right name.
    _refuse_unknown(named, form, data)
    if not is_valid:
        raise InvalidParams(
            f"Invalid params for {named.name!r}: {_describe(form)}",
            form.errors.get_json_data(),
        )
    # Several values where the form has looked at one would be lost without a word.
    lists = {key for key, values in data.lists() if len(values) > 1}
    if several := sorted(lists - data.listed):
        raise InvalidParams(
            f"Several values for {', '.join(map(repr, several))} in the params of {named.name!r}; "
            "the form reads one.",
            {key: [{"message": "Give one value.", "code": "several"}] for key in several},
        )
    return form.cleaned_data


def _refuse_unknown(named: NamedExport, form: BaseForm, data: _Data) -> None:
    """Raise InvalidParams for what the form has not looked at, with what else is wrong."""
    if unknown := [key for key in data if key not in data.asked][:MAX_SHOWN]:
        message = (
            f"Unknown params for {named.name!r}: {', '.join(map(repr, unknown))}. "
            f"Allowed: {', '.join(map(repr, form.fields)) or 'none'}."
        )
        errors = {key: [{"message": "Unknown parameter.", "code": "unknown"}] for key in unknown}
        raise InvalidParams(
            f"{message} {_describe(form)}".strip(), {**errors, **form.errors.get_json_data()}
        )


def _get_depth(value: object, limit: int) -> int:
    """Return how many lists and objects are within each other, counting no further than told."""
    if not isinstance(value, dict | list) or limit == 0:
        return 0
    items = value.values() if isinstance(value, dict) else value
    return 1 + max((_get_depth(item, limit - 1) for item in items), default=0)


def has_surrogate(value: object) -> bool:
    """Tell whether the JSON holds half of a pair, which no encoding has."""
    # A loop, since what has not been bounded yet may be nested deeper than Python recurses.
    waiting = [value]
    for each in waiting:
        if isinstance(each, str) and SURROGATE.search(each):
            return True
        if isinstance(each, Mapping):
            waiting += [*each.keys(), *each.values()]
        elif isinstance(each, list):
            waiting += each
    return False


def _has_null(value: object) -> bool:
    """Tell whether a key or a value holds a NUL, and not just the backslash and digits of one."""
    if isinstance(value, dict):
        return any(_has_null(item) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return any(map(_has_null, value))
    return isinstance(value, str) and "\0" in value


def _describe(form: BaseForm) -> str:
    """Return the errors of the form in one line."""
    return " ".join(
        f"{name}: {' '.join(map(str, messages))}" for name, messages in form.errors.items()
    )

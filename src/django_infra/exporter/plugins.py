"""Load the plug-ins that settings define as ``{"BACKEND": dotted path, "OPTIONS": {...}}``."""

from __future__ import annotations

import inspect
from typing import Any

from django.utils.module_loading import import_string

from django_infra.exporter.exceptions import InvalidSetting


def load(
    definition: object,
    base: type[Any],
    *,
    setting: str,
    default: str | None = None,
    error_class: type[InvalidSetting] = InvalidSetting,
) -> Any:
    """Return the instance of the BACKEND, or else of ``default``, that the OPTIONS make.

    Raises ``error_class``, which names the setting.
    """
    if not isinstance(definition, dict) or not (default or "BACKEND" in definition):
        raise error_class(
            f"{setting} is {definition!r}, but must be a dict whose 'BACKEND' is the dotted path "
            f"of a {base.__name__}."
        )
    # A runner has a default, so that its setting may give options alone.
    path, options = definition.get("BACKEND", default), definition.get("OPTIONS", {})
    found = import_subclass(path, base, setting=f"{setting}['BACKEND']", error_class=error_class)
    # A constructor says by these two what it does not take; other errors are its own.
    try:
        return found(**options)
    except (TypeError, ValueError) as error:
        raise error_class(
            f"{setting}['OPTIONS'] {options!r} do not suit {found.__qualname__}: "
            f"{explain(found, error)}"
        ) from error


def import_subclass(
    path: Any,
    base: type[Any],
    *,
    setting: str,
    error_class: type[InvalidSetting] = InvalidSetting,
) -> Any:
    """Return the class; raise the error, which names the setting, if there is none or another."""
    try:
        found = import_string(path)
    # Importing a module may raise anything; these are what a wrong path raises.
    except (ImportError, TypeError, ValueError, AttributeError) as error:
        raise error_class(
            f"{setting} is {path!r}, but must be the dotted path of a {base.__name__}: {error}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise error_class(
            f"{setting} is {path!r}, which is not a subclass of {base.__module__}.{base.__name__}."
        )
    return found


def explain(kind: type[Any], error: Exception) -> str:
    """Return why the constructor refused options, and those that it takes."""
    allowed = ", ".join(map(repr, inspect.signature(kind).parameters)) or "none"
    return f"{str(error).rstrip('.')}. Allowed: {allowed}."

"""The classes that settings name by their dotted paths."""

from __future__ import annotations

from typing import Any

from django.utils.module_loading import import_string

from django_infra.exporter.exceptions import InvalidSetting


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
    except (ImportError, TypeError, ValueError, AttributeError) as error:
        raise error_class(
            f"{setting} is {path!r}, but must be the dotted path of a {base.__name__}: {error}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise error_class(
            f"{setting} is {path!r}, which is not a subclass of {base.__module__}.{base.__name__}."
        )
    return found

"""Where jobs run: in the caller's process, on Django Tasks or on Celery."""

from __future__ import annotations

import inspect
from typing import Any

from django.utils.module_loading import import_string

from django_infra.exporter.conf import conf
from django_infra.exporter.exceptions import InvalidSetting
from django_infra.exporter.runners.base import Runner

__all__ = ["Runner", "get_runner"]

DEFAULT_RUNNER = "django_infra.exporter.runners.inline.InlineRunner"


def get_runner() -> Runner:
    """Return the runner of EXPORTER_RUNNER; raise InvalidSetting if it cannot be used."""
    definition: Any = conf.runner
    if not isinstance(definition, dict):
        raise InvalidSetting(
            f"EXPORTER_RUNNER is {definition!r}, but must be a dict with the keys 'BACKEND' and "
            "'OPTIONS'."
        )
    path, options = definition.get("BACKEND", DEFAULT_RUNNER), definition.get("OPTIONS", {})
    try:
        runner_class = import_string(path)
    except ModuleNotFoundError as error:
        raise InvalidSetting(f"EXPORTER_RUNNER['BACKEND'] is {path!r}: {error}") from error
    except (ImportError, TypeError, ValueError, AttributeError) as error:
        raise InvalidSetting(
            f"EXPORTER_RUNNER['BACKEND'] is {path!r}, but must be the dotted path of a Runner: "
            f"{error}"
        ) from error
    if not (isinstance(runner_class, type) and issubclass(runner_class, Runner)):
        raise InvalidSetting(
            f"EXPORTER_RUNNER['BACKEND'] is {path!r}, which is not a subclass of "
            "django_infra.exporter.runners.Runner."
        )
    try:
        return runner_class(**options)
    except (TypeError, ValueError) as error:
        allowed = ", ".join(map(repr, inspect.signature(runner_class).parameters)) or "none"
        raise InvalidSetting(
            f"EXPORTER_RUNNER['OPTIONS'] {options!r} do not suit {runner_class.__qualname__}: "
            f"{str(error).rstrip('.')}. Allowed: {allowed}."
        ) from error

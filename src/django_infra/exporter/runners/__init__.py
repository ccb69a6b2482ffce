"""Where jobs run: in the caller's process, on Django Tasks or on Celery."""

from __future__ import annotations

import inspect
from typing import Any

from django_infra.exporter.conf import conf
from django_infra.exporter.exceptions import InvalidSetting
from django_infra.exporter.plugins import import_subclass
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
    runner_class: type[Runner] = import_subclass(path, Runner, setting="EXPORTER_RUNNER['BACKEND']")
    try:
        return runner_class(**options)
    except (TypeError, ValueError) as error:
        allowed = ", ".join(map(repr, inspect.signature(runner_class).parameters)) or "none"
        raise InvalidSetting(
            f"EXPORTER_RUNNER['OPTIONS'] {options!r} do not suit {runner_class.__qualname__}: "
            f"{str(error).rstrip('.')}. Allowed: {allowed}."
        ) from error

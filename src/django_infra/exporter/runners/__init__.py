"""Choose where jobs run: in the caller's process, on Django Tasks or on Celery."""

from __future__ import annotations

from django_infra.exporter.conf import conf
from django_infra.exporter.plugins import load
from django_infra.exporter.runners.base import Runner

__all__ = ["Runner", "get_runner"]

DEFAULT_RUNNER = "django_infra.exporter.runners.inline.InlineRunner"


def get_runner() -> Runner:
    """Return the runner of EXPORTER_RUNNER; raise InvalidSetting if it cannot be used."""
    runner: Runner = load(conf.runner, Runner, setting="EXPORTER_RUNNER", default=DEFAULT_RUNNER)
    return runner

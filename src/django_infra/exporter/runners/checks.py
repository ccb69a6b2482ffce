"""Check that the runner can be used."""

from __future__ import annotations

from collections.abc import Sequence

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error

from django_infra.exporter.exceptions import InvalidSetting
from django_infra.exporter.runners import get_runner


def check_runner(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: object
) -> list[CheckMessage]:
    """Check EXPORTER_RUNNER, and let the runner check itself."""
    # Some runners cannot even be made: a path is wrong, or a package is missing.
    try:
        faults = list(get_runner().find_faults())
    except InvalidSetting as error:
        faults = [str(error)]
    return [
        Error(
            f"EXPORTER_RUNNER cannot be used: {fault}",
            hint='It is {"BACKEND": the dotted path of a Runner, "OPTIONS": {what that takes}}.',
            id="exporter.E008",
        )
        for fault in faults
    ]

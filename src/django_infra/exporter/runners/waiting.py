"""Check that no browser waits for exports unawares, where the admin is installed."""

from __future__ import annotations

from collections.abc import Sequence

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Warning

from django_infra.exporter.changelists.checks import list_exported_models
from django_infra.exporter.runners import DEFAULT_RUNNER


def check_waiting(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: object
) -> list[CheckMessage]:
    """Warn when change lists are exported while the browser waits, since nobody has chosen so."""
    # Whoever has set it has chosen, the runner of this process too.
    if hasattr(settings, "EXPORTER_RUNNER") or not (labels := list_exported_models()):
        return []
    return [
        Warning(
            f"EXPORTER_RUNNER is not set, so that the action export_selected, which {labels[0]!r} "
            "offers, exports any number of rows within the request of the browser.",
            hint="Set EXPORTER_RUNNER to a runner with workers, or to "
            f"{{'BACKEND': {DEFAULT_RUNNER!r}}} if requests may take that long.",
            id="exporter.W011",
        )
    ]

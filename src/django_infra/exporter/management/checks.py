from __future__ import annotations

from collections.abc import Iterator, Sequence
from pkgutil import iter_modules
from typing import Any

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Warning
from django.core.management import get_commands

from django_infra.exporter.management import commands


def check_commands(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Warn of commands that Django takes from another app of the same name."""
    return list(_find_shadowed())


def _find_shadowed() -> Iterator[CheckMessage]:
    ours = apps.get_app_config("exporter").name
    found = get_commands()
    for _finder, name, _is_package in iter_modules(commands.__path__):
        # An instance stands there where the project has registered one.
        other = getattr(found[name], "__module__", found[name])
        if other == ours:
            continue
        yield Warning(
            f"'manage.py {name}' runs the command of {other!r}, which comes before {ours!r} in "
            "INSTALLED_APPS.",
            hint=(
                "Use 'manage.py export_queryset', which does the same as the exporter's 'export'."
                if name == "export"
                else f"Put {ours!r} first, or rename the other command."
            ),
            id="exporter.W012",
        )

"""Check that Django finds the commands of this package under their names."""

from __future__ import annotations

from collections.abc import Sequence
from pkgutil import iter_modules

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Warning
from django.core.management import get_commands

from django_infra.exporter.management import commands


def check_commands(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: object
) -> list[CheckMessage]:
    """Warn of commands that Django takes from another app of the same name."""
    messages: list[CheckMessage] = []
    ours = apps.get_app_config("exporter").name
    found = get_commands()
    for _finder, name, _is_package in iter_modules(commands.__path__):
        # An instance stands there where the project has registered one, and else an app's name.
        other = getattr(found[name], "__module__", found[name])
        if other == ours:
            continue
        hint = f"Put {ours!r} first, or rename the other command."
        if name == "export":
            hint = (
                "Use 'manage.py export_queryset', which does the same as the exporter's 'export'."
            )
        messages.append(
            Warning(
                f"'manage.py {name}' runs the command of {other!r}, which comes before {ours!r} "
                "in INSTALLED_APPS.",
                hint=hint,
                id="exporter.W012",
            )
        )
    return messages

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.checks import WARNING
from django.core.management import get_commands, load_command_class

from django_infra.exporter.management.checks import check_commands
from django_infra.exporter.management.commands import export, export_queryset

OURS = "django_infra.exporter"


@pytest.fixture
def install(settings, tmp_path, monkeypatch):
    """Install an app with commands before ours, or after it."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(app, *commands, is_first=True):
        folder = tmp_path / app / "management" / "commands"
        folder.mkdir(parents=True)
        for package in (folder, folder.parent, folder.parent.parent):
            (package / "__init__.py").touch()
        for name in commands:
            Path(folder, f"{name}.py").touch()
        installed = [app, *settings.INSTALLED_APPS] if is_first else [*settings.INSTALLED_APPS, app]
        settings.INSTALLED_APPS = installed
        get_commands.cache_clear()

    yield install
    get_commands.cache_clear()


def test_the_commands_are_those_of_this_app():
    assert check_commands() == []
    assert export.Command is export_queryset.Command
    assert isinstance(load_command_class(OURS, "export"), export_queryset.Command)


def test_an_app_that_comes_later_shadows_nothing(install):
    install("late_exchange", "export", "export_queryset", is_first=False)
    assert check_commands() == []


def test_the_app_is_named_whose_command_comes_first(install):
    install("exchange", "export")
    (message,) = check_commands()
    assert (message.id, message.level) == ("exporter.W012", WARNING)
    assert message.msg.startswith("'manage.py export' runs the command of 'exchange', which comes")
    assert "'manage.py export_queryset'" in message.hint
    assert get_commands()["export_queryset"] == OURS


def test_every_command_is_looked_at(install):
    install("taker", "exports", "prune_exports", "export_queryset", "recover_exports")
    assert sorted(message.msg.split("'")[1] for message in check_commands()) == [
        "manage.py export_queryset",
        "manage.py exports",
        "manage.py prune_exports",
        "manage.py recover_exports",
    ]

"""Give each process of a run databases of its own: copies of those that the run has migrated."""

from __future__ import annotations

import os
import shutil

import pytest
from django.db import connections
from django.test.utils import setup_databases, teardown_databases
from pytest_django.plugin import blocking_manager_key

# The process of this number uses the copy of this number, unless it has to migrate its own.
NUMBER = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
IS_COPIED = "EXPORTER_COPIED"
MIGRATED = pytest.StashKey()
COPIES = pytest.StashKey()


def pytest_xdist_setupnodes(config, specs):
    """Migrate once, and copy the databases for the processes that are to be started."""
    if connections["default"].vendor == "mysql" and shutil.which("mysqldump") is None:
        return  # Django copies by this program
    os.environ[IS_COPIED] = "1"
    with config.stash[blocking_manager_key].unblock():
        config.stash[MIGRATED] = setup_databases(verbosity=0, interactive=False)
        config.stash[COPIES] = [str(number) for number in range(len(specs))]
        for alias in connections:
            # A file in WAL mode is whole when nobody has it open.
            connections[alias].close()
            for number in config.stash[COPIES]:
                connections[alias].creation.clone_test_db(number, verbosity=0, autoclobber=True)


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure(config):
    if MIGRATED not in config.stash:
        return
    with config.stash[blocking_manager_key].unblock():
        for alias in connections:
            for number in config.stash[COPIES]:
                connections[alias].creation.destroy_test_db(suffix=number, verbosity=0)
        teardown_databases(config.stash[MIGRATED], verbosity=0)


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment, django_db_blocker):
    """Connect this process with its databases."""
    with django_db_blocker.unblock():
        if NUMBER and IS_COPIED in os.environ:
            for connection in connections.all():
                connection.settings_dict["NAME"] = connection.creation._get_test_db_name()
                copy = connection.creation.get_test_db_clone_settings(NUMBER)
                connection.settings_dict["NAME"] = copy["NAME"]
            yield
            connections.close_all()
        else:
            for connection in connections.all():
                connection.settings_dict["TEST"]["NAME"] += NUMBER
            migrated = setup_databases(verbosity=0, interactive=False)
            yield
            teardown_databases(migrated, verbosity=0)

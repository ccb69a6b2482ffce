"""Give each process of a run databases of its own: copies of those that the run has migrated."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.db import Error, connections
from django.test.utils import setup_databases, teardown_databases
from pytest_django.plugin import blocking_manager_key

from selection import processes_allowed

# Each process copies for itself, and so does one that takes the place of a dead one.
NUMBER = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
MIGRATED = pytest.StashKey()
NUMBERS = pytest.StashKey()

# Queries for the statements that end the sessions of a dead process: a database that is in use
# cannot be dropped.
SELECT_KILLS = {
    "postgresql": (
        "SELECT 'SELECT pg_terminate_backend(' || pid || ')'"
        " FROM pg_stat_activity WHERE datname = %s"
    ),
    "mysql": "SELECT CONCAT('KILL ', id) FROM information_schema.processlist WHERE db = %s",
}


# -------------------------------------------------------------------- the process that leads


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config, specs):
    """Migrate once, for all processes."""
    config.stash[NUMBERS] = []
    with config.stash[blocking_manager_key].unblock():
        config.stash[MIGRATED] = setup_databases(verbosity=0, interactive=False)
        # A database can be copied once nobody has it open.
        connections.close_all()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodeready(node):
    node.config.stash[NUMBERS].append(node.gateway.id.removeprefix("gw"))


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure(config):
    if MIGRATED not in config.stash:
        return
    with config.stash[blocking_manager_key].unblock():
        for connection in connections.all():
            for number in config.stash[NUMBERS]:
                name = connection.creation.get_test_db_clone_settings(number)["NAME"]
                end_sessions(connection, name)
                # A process that found no test to run has copied nothing.
                with suppress(Error, FileNotFoundError):
                    connection.creation._destroy_test_db(name, verbosity=0)
            end_sessions(connection, connection.settings_dict["NAME"])
        teardown_databases(config.stash[MIGRATED], verbosity=0)


def end_sessions(connection, name):
    if connection.vendor in SELECT_KILLS:
        connection.close()
        with connection._nodb_cursor() as cursor:
            cursor.execute(SELECT_KILLS[connection.vendor], [name])
            for (kill,) in cursor.fetchall():
                with suppress(Error):  # it has ended meanwhile
                    cursor.execute(kill)


# -------------------------------------------------------------- the processes that run tests


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment, django_db_blocker):
    """Connect this process with its databases."""
    with django_db_blocker.unblock():
        if not NUMBER:
            migrated = setup_databases(verbosity=0, interactive=False)
            yield
            teardown_databases(migrated, verbosity=0)
            return
        with one_at_a_time(), processes_allowed():
            for connection in connections.all():
                make_own(connection)
        yield
        connections.close_all()


@contextmanager
def one_at_a_time():
    """Wait for the other processes: PostgreSQL copies for one at a time."""
    with Path(os.environ["EXPORTER_TEST_DIR"], "databases.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_own(connection):
    """Make the database of this process, and have the connection use it."""
    creation, settings = connection.creation, connection.settings_dict
    settings["NAME"] = creation._get_test_db_name()
    own = creation.get_test_db_clone_settings(NUMBER)["NAME"]
    # Django copies MariaDB's databases by this program.
    if connection.vendor == "mysql" and shutil.which("mysqldump") is None:
        settings["TEST"]["NAME"] = own
        creation.create_test_db(verbosity=0, autoclobber=True)
    else:
        creation.clone_test_db(NUMBER, verbosity=0, autoclobber=True)
        settings["NAME"] = own

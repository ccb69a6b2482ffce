"""Errors of real databases and clients, where they can be had."""

from __future__ import annotations

import errno
import threading

import pytest
import requests
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.db import Error, InterfaceError, OperationalError, connection, connections

from django_infra.exporter.exceptions import FileAlreadyExists, InvalidValues
from django_infra.exporter.transient import is_transient
from exporter.faults.marks import needs_postgresql, needs_server, needs_sqlite
from exporter.faults.probes import fetch, get_session_id, kill_session
from exporter.faults.s3 import S3Server

pytest_plugins = ["exporter.faults.fixtures"]
pytestmark = pytest.mark.django_db(transaction=True)


def catch(using, sql):
    """Return the error of the statement."""
    try:
        fetch(using, sql)
    except Error as error:
        return error
    raise AssertionError(f"{sql} did not fail.")


def execute(using, sql):
    with using.cursor() as cursor:
        cursor.execute(sql)


@needs_server
def test_lost_connection_is_transient(second):
    kill_session(connection, get_session_id(second))
    error = catch(second, "SELECT 1")
    assert isinstance(error, OperationalError | InterfaceError)
    assert is_transient(error)


@needs_server
def test_server_that_is_away_is_transient():
    other = connections.create_connection("default")
    other.settings_dict = {**other.settings_dict, "HOST": "127.0.0.1", "PORT": "1"}
    assert is_transient(catch(other, "SELECT 1"))


@needs_server
def test_deadlock_is_transient(second):
    lock = {
        "postgresql": "SELECT pg_advisory_xact_lock({})",
        "mysql": "SELECT * FROM auth_group WHERE id = {} FOR UPDATE",
    }[connection.vendor]
    fetch(connection, "SELECT 1")
    execute(connection, "INSERT INTO auth_group (id, name) VALUES (1, 'a'), (2, 'b')")
    errors = []

    def lock_in_turn(using, first, last, barrier):
        using.set_autocommit(False)
        try:
            fetch(using, lock.format(first))
            barrier.wait()
            fetch(using, lock.format(last))
        except OperationalError as error:
            errors.append(error)
        finally:
            using.rollback()
            using.set_autocommit(True)

    barrier = threading.Barrier(2)
    second.inc_thread_sharing()
    thread = threading.Thread(target=lock_in_turn, args=[second, 1, 2, barrier])
    thread.start()
    lock_in_turn(connection, 2, 1, barrier)
    thread.join()
    assert [is_transient(error) for error in errors] == [True]


@needs_postgresql
def test_time_limit_of_a_statement_is_not_transient(second):
    execute(second, "SET statement_timeout = 50")
    error = catch(second, "SELECT pg_sleep(5)")
    assert isinstance(error, OperationalError)
    assert not is_transient(error)


@needs_postgresql
def test_lock_that_is_not_available_is_transient(second):
    fetch(connection, "SELECT pg_advisory_lock(1)")
    execute(second, "SET lock_timeout = 50")
    error = catch(second, "SELECT pg_advisory_lock(1)")
    assert is_transient(error)
    fetch(connection, "SELECT pg_advisory_unlock(1)")


@needs_sqlite
def test_locked_database_is_transient(second):
    fetch(second, "PRAGMA busy_timeout = 50")
    execute(connection, "BEGIN IMMEDIATE")
    assert is_transient(catch(second, "BEGIN IMMEDIATE"))
    execute(connection, "ROLLBACK")


@pytest.mark.parametrize("sql", ["SELECT nope", "SELECT * FROM nope", "SELEKT 1"])
def test_query_that_cannot_run_is_not_transient(sql):
    assert not is_transient(catch(connection, sql))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionResetError(errno.ECONNRESET, "reset"), True),
        (BrokenPipeError(errno.EPIPE, "pipe"), True),
        (TimeoutError("timed out"), True),
        (OSError(errno.ENOSPC, "full"), True),
        (OSError(errno.EIO, "broken"), True),
        (OSError(errno.ENAMETOOLONG, "long"), False),
        (PermissionError(errno.EACCES, "no"), False),
        (FileNotFoundError(errno.ENOENT, "no"), False),
        (FileAlreadyExists("there"), False),
        (InvalidValues("no"), False),
        (ValueError("no"), False),
        (KeyboardInterrupt(), False),
        (SystemExit(1), False),
        (NoCredentialsError(), False),
    ],
)
def test_errors_of_the_system_and_of_callers(error, expected):
    assert is_transient(error) is expected


@pytest.fixture(scope="module")
def s3_server():
    with S3Server() as server:
        yield server


@pytest.fixture
def s3(s3_server, settings):
    s3_server.clear()
    settings.STORAGES = {**settings.STORAGES, "default": s3_server.get_storage()}
    yield s3_server
    s3_server.reset()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("500 Internal Server Error", True),
        ("503 Slow Down", True),
        ("429 Too Many Requests", True),
        ("403 Forbidden", False),
        ("cut", True),
    ],
)
def test_errors_of_an_object_store(s3, fault, expected):
    s3.fault = lambda operation, count: fault if operation == "Put" else None
    with pytest.raises((BotoCoreError, ClientError)) as error:
        storages["default"].save("a.txt", ContentFile(b"a"))
    assert is_transient(error.value) is expected


def test_server_that_nobody_reaches_is_transient():
    with pytest.raises(requests.ConnectionError) as error:
        requests.get("http://127.0.0.1:1")
    assert is_transient(error.value)

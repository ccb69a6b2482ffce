"""Errors of real databases and clients, where they can be had."""

from __future__ import annotations

import errno
import threading
import time
from contextlib import contextmanager

import pytest
import requests
from billiard.exceptions import SoftTimeLimitExceeded
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from django.contrib.auth.models import Group
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.db import (
    Error,
    InterfaceError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.db.transaction import TransactionManagementError

from django_infra.exporter.exceptions import ExportInterrupted, FileAlreadyExists, InvalidValues
from django_infra.exporter.transient_errors import is_transient
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
        (OSError(errno.ENOSPC, "full"), False),
        (OSError(errno.EDQUOT, "full"), False),
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


def raise_while_handling(first, second, *, is_hidden=False):
    """Return the second error, as it is raised in the middle of what the first one has caused."""
    try:
        with raising_at_the_end(second, is_hidden=is_hidden):
            raise first
    except BaseException as error:
        return error


@contextmanager
def raising_at_the_end(error, *, is_hidden):
    try:
        yield
    finally:
        if is_hidden:
            raise error from None
        raise error


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (ConnectionError("cut"), TransactionManagementError("broken"), True),
        (ConnectionError("cut"), FileNotFoundError(errno.ENOENT, "no"), True),
        (OperationalError("away"), InvalidValues("no"), True),
        (ValueError("no"), ConnectionError("cut"), True),
        (ValueError("no"), KeyError("no"), False),
        (OSError(errno.ENOSPC, "full"), KeyError("no"), False),
        (ConnectionError("cut"), OSError(errno.ENOSPC, "full"), False),
        (ConnectionError("cut"), ExportInterrupted("gone"), False),
        (ConnectionError("cut"), SoftTimeLimitExceeded(), False),
        (ConnectionError("cut"), KeyboardInterrupt(), False),
        (ConnectionError("cut"), SystemExit(1), False),
        (KeyboardInterrupt(), ValueError("no"), False),
    ],
    ids=repr,
)
def test_error_while_a_transient_one_is_handled(first, second, expected):
    assert is_transient(raise_while_handling(first, second)) is expected


def test_error_that_hides_another_one_is_what_it_is():
    error = raise_while_handling(ConnectionError("cut"), ValueError("no"), is_hidden=True)
    assert not is_transient(error)


def test_error_that_was_handled_before_the_work_began_says_nothing():
    first = ConnectionError("cut")
    assert not is_transient(raise_while_handling(first, ValueError("no")), outer=first)


def idle(using):
    fetch(using, "SELECT 1")
    time.sleep(0.5)
    fetch(using, "SELECT 2")


def idle_before_the_end(using):
    fetch(using, "SELECT 1")
    time.sleep(0.5)


def idle_among_rows(using):
    with using.chunked_cursor() as cursor:
        cursor.execute("SELECT generate_series(1, 100000)")
        cursor.fetchmany(10)
        time.sleep(0.5)
        cursor.fetchmany(10)


def idle_and_go_on(using):
    try:
        idle(using)
    except Error:
        fetch(using, "SELECT 3")


@needs_postgresql
@pytest.mark.parametrize("act", [idle, idle_before_the_end, idle_among_rows, idle_and_go_on])
def test_session_that_was_idle_in_its_transaction_is_transient(act):
    fetch(connection, "SELECT set_config('idle_in_transaction_session_timeout', '100', false)")
    with pytest.raises(Error) as caught, transaction.atomic():
        act(connection)
    connection.close()
    assert is_transient(caught.value)


@needs_postgresql
@pytest.mark.parametrize("act", [idle, idle_and_go_on])
def test_session_that_was_idle_is_transient(act):
    fetch(connection, "SELECT set_config('idle_session_timeout', '100', false)")
    with pytest.raises(Error) as caught:
        act(connection)
    connection.close()
    assert is_transient(caught.value)


def idle_with_a_lock(using):
    list(Group.objects.select_for_update())
    time.sleep(2.5)
    fetch(using, "SELECT 2")


@pytest.mark.only_on("mysql")
@pytest.mark.parametrize("setting", ["wait_timeout", "idle_transaction_timeout"])
def test_session_that_was_idle_on_mariadb_is_transient(setting):
    fetch(connection, f"SET SESSION {setting} = 1")
    with pytest.raises(Error) as caught, transaction.atomic():
        idle_with_a_lock(connection)
    connection.close()
    assert is_transient(caught.value)


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

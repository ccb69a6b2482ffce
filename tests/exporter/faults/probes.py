"""What an export may leave behind, and how to see it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psutil

THREAD_NAMES = ("progress of ", "heartbeat of ", "count of ")
PATIENCE = 60  # seconds: for what should take one or two

# Sessions, other than the asking one, that hold a transaction on the same database.
TRANSACTIONS = {
    "postgresql": (
        "SELECT pid, state, query FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'"
    ),
    "mysql": (
        "SELECT process.id, process.info FROM information_schema.innodb_trx AS trx"
        " JOIN information_schema.processlist AS process ON process.id = trx.trx_mysql_thread_id"
        " WHERE process.db = DATABASE() AND process.id <> CONNECTION_ID()"
    ),
}
SESSIONS = {
    "postgresql": (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    ),
    "mysql": (
        "SELECT id FROM information_schema.processlist"
        " WHERE db = DATABASE() AND id <> CONNECTION_ID()"
    ),
}


# A condition that takes the database minutes, and lets no row through.
STALLING = {
    "sqlite": """
        (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000000)
        SELECT COUNT(*) FROM n) < 0
    """,
    "postgresql": "pg_sleep(120) IS NULL",
    # MariaDB knows without asking that SLEEP() is not null.
    "mysql": "SLEEP(120) = 5",
}


def find_files(*folders):
    return [
        str(path.relative_to(folder))
        for folder in map(Path, folders)
        for path in sorted(folder.rglob("*"))
        if not path.is_dir()
    ]


def find_open_files(*folders):
    return [
        file.path
        for file in psutil.Process().open_files()
        if any(Path(file.path).is_relative_to(folder) for folder in folders)
    ]


def find_threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(THREAD_NAMES)]


def find_lasting_transactions(connection):
    """Return the transactions that other sessions have open, and do not end within seconds."""
    end = time.monotonic() + PATIENCE  # the server may be at rolling back what was killed
    sql = TRANSACTIONS.get(connection.vendor)
    while (found := fetch(connection, sql)) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def find_sessions(connection):
    return {pid for (pid,) in fetch(connection, SESSIONS.get(connection.vendor))}


def find_cursors(connection):
    """Return what the connection itself still holds open."""
    cursors = []
    if connection.vendor == "postgresql":
        cursors = fetch(connection, "SELECT statement FROM pg_cursors WHERE name <> ''")
    elif connection.vendor == "sqlite" and connection.connection.in_transaction:
        cursors = ["transaction"]
    return cursors


def fetch(connection, sql, params=None):
    if sql is None:
        return []
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


def get_session_id(connection):
    connection.ensure_connection()
    if connection.vendor == "postgresql":
        return fetch(connection, "SELECT pg_backend_pid()")[0][0]
    return fetch(connection, "SELECT CONNECTION_ID()")[0][0]


def kill_session(connection, session_id):
    """End another session of the server, which learns of it at its next word."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_terminate_backend(%s)", [session_id])
        else:
            cursor.execute("KILL CONNECTION %s", [session_id])


def wait_until(condition):
    """Wait for what another process or thread does, and return what the condition gave."""
    end = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < end, f"{condition} did not come true."
        time.sleep(0.02)
    return result


def wait_until_stopped(pid):
    process = psutil.Process(pid)
    wait_until(lambda: process.status() == psutil.STATUS_STOPPED)

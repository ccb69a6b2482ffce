"""Give one connection what another one's session has, so that both find the same rows.

1. A session is learnt where it costs no query: from the statement that begins an attempt, from
   the one that describes the columns, or by the server's own name for the connection.
2. It is set anew with each statement, for its transaction alone: another session may be behind
   the connection by then, and what is set for longer would stay there for somebody else.
3. Both go to the server as one message, so that a process which stalls in between holds no lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django_infra.exporter.conf import conf
from django_infra.exporter.exceptions import InvalidSetting


class Session:
    """A session on which no row depends, as on SQLite."""

    @contextmanager
    def on(self, connection: Any) -> Iterator[None]:
        """Have each statement of the block find the rows that the session finds.

        ``connection`` is another one, and the calling thread's.
        """
        yield

    def finds_all(self, connection: Any, table: str) -> bool:
        """Tell whether within ``on()`` the connection surely finds all rows of the table.

        It may look at another table of that name, or be denied some of the rows.
        """
        return True


class UnknownSession(Session):
    """A session of a database that has ways of its own to hide rows."""

    def finds_all(self, connection: Any, table: str) -> bool:
        return False


class PostgreSQLSession(Session):
    """Search path, role and the variables that EXPORTER_SESSION_SETTINGS names."""

    def __init__(self, values: Sequence[str | None], relation: str | None = None) -> None:
        """Take what ``make_postgresql_array()`` gives, and the OID of the table that it finds."""
        known = {
            name: value
            for name, value in zip(list_names("postgresql"), values, strict=True)
            if value is not None
        }
        # The role comes last, since it may not be allowed to set the others.
        known["role"] = known.pop("role", "none")
        calls = ", ".join(f"set_config('{name}', %s, true)" for name in known)
        self.sql, self.params = f"SELECT {calls};\n", [*known.values()]
        self.relation = relation

    @contextmanager
    def on(self, connection: Any) -> Iterator[None]:
        with connection.execute_wrapper(self._set_and_execute):
            yield

    def finds_all(self, connection: Any, table: str) -> bool:
        sql = (
            "SELECT 1 FROM pg_class WHERE oid = to_regclass(%s) AND oid::text = %s"
            " AND relkind IN ('r', 'p') AND NOT row_security_active(oid)"
        )
        with connection.cursor() as cursor:
            cursor.execute(sql, [connection.ops.quote_name(table), self.relation or ""])
            return cursor.fetchone() is not None

    def _set_and_execute(
        self, execute: Any, sql: str, params: Any, many: Any, context: dict[str, Any]
    ) -> Any:
        # A backend for tenants has set its own search path by now, as it does for each cursor.
        if params is None:
            sql, params = sql.replace("%", "%%"), ()
        result = execute(self.sql + sql, [*self.params, *params], many, context)
        # psycopg 3 begins with the first result, and psycopg2 gives the last one alone.
        if context["connection"].Database.__name__ == "psycopg":
            context["cursor"].cursor.nextset()
        return result


class MySQLSession(Session):
    """The database in use, which the server tells of any connection of the same user."""

    def __init__(self, thread_id: int) -> None:
        self.thread_id = thread_id
        # An empty one stands for a connection that the server does not know by that name, as
        # behind a proxy.
        self._database: str | None = None

    @contextmanager
    def on(self, connection: Any) -> Iterator[None]:
        with connection.execute_wrapper(self._set_and_execute):
            yield

    def finds_all(self, connection: Any, table: str) -> bool:
        return bool(self._database)

    def _set_and_execute(
        self, execute: Any, sql: Any, params: Any, many: Any, context: dict[str, Any]
    ) -> Any:
        connection, cursor = context["connection"], context["cursor"].cursor
        with connection.wrap_database_errors:
            if self._database is None:
                cursor.execute(
                    "SELECT db FROM information_schema.processlist WHERE id = %s", [self.thread_id]
                )
                found = cursor.fetchone()
                self._database = (found and found[0]) or ""
            if self._database not in ("", connection.settings_dict["NAME"]):
                cursor.execute(f"USE {connection.ops.quote_name(self._database)}")
        return execute(sql, params, many, context)


class Learner:
    """Learn the session of a connection from an UPDATE that it executes, if that finds a row."""

    def __init__(self, connection: Any, table: str) -> None:
        self.connection = connection
        self.table = table
        self._session: Session | None = None

    @property
    def session(self) -> Session:
        if self._session is not None:
            return self._session
        vendor, raw = self.connection.vendor, self.connection.connection
        if vendor == "mysql" and raw is not None:
            return MySQLSession(raw.thread_id())
        return Session() if vendor == "sqlite" else UnknownSession()

    @contextmanager
    def listen(self) -> Iterator[None]:
        if self.connection.vendor != "postgresql":
            yield
            return
        with self.connection.execute_wrapper(self._execute):
            yield

    def _execute(
        self, execute: Any, sql: Any, params: Any, many: Any, context: dict[str, Any]
    ) -> Any:
        if not sql.startswith("UPDATE "):
            return execute(sql, params, many, context)
        name = self.connection.ops.quote_name(self.table)
        try:
            values = f"{make_postgresql_array()} || to_regclass('{name}')::oid::text"
        except InvalidSetting:
            # Of which the attempt, once it has begun, will say so in the row.
            return execute(sql, params, many, context)
        result = execute(f"{sql} RETURNING {values}", params, many, context)
        if row := context["cursor"].cursor.fetchone():
            *values, relation = row[0]
            self._session = PostgreSQLSession(values, relation)
        return result


def list_names(vendor: str) -> list[str]:
    """Return the names of what decides about rows: the fixed ones, and those of the settings."""
    if vendor == "postgresql":
        return ["search_path", "role", *(name for name in conf.session_settings if name[0] != "@")]
    if vendor == "mysql":
        return ["database", "role", *(name for name in conf.session_settings if name[0] == "@")]
    return []


def make_postgresql_array() -> str:
    """Return SQL for the values in the order of ``list_names()``, null for what is not set."""
    values = (f"current_setting('{name}', true)" for name in list_names("postgresql"))
    return f"ARRAY[{', '.join(values)}]"

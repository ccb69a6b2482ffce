"""Compose the literals of a query as the database's own driver does."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

# Every database writes these alike if type and value are the same.
PLAIN = (bool, bytes, float, int, str, type(None))


def compose_literal(value: Any, connection: BaseDatabaseWrapper) -> str:
    """Return what tells the literal from every other one of its database."""
    if type(value) in PLAIN:
        return f"{type(value).__name__}:{value!r}"
    if connection.vendor == "postgresql":
        from django.db.backends.postgresql.psycopg_any import sql

        return str(sql.Literal(value).as_string(connection.connection))
    if connection.vendor == "mysql":
        raw = connection.connection
        # PyMySQL and mysqlclient compose literals by methods of their own.
        is_pymysql = type(raw).__module__.startswith("pymysql")
        return str(raw.escape(value, raw.encoders) if is_pymysql else raw.literal(value))
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("SELECT QUOTE(%s)", [value])
            return str(cursor.fetchone()[0])
    return f"{type(value).__module__}.{type(value).__qualname__}:{value!r}"

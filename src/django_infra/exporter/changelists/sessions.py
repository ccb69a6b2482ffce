"""Read the settings of a database session on which the rows of a query depend."""

from __future__ import annotations

from typing import Any

from django_infra.exporter.conf import conf


def read_session(connection: Any) -> dict[str, str]:
    """Return search path, role and the variables that EXPORTER_SESSION_SETTINGS names."""
    names = list(conf.session_settings)
    if connection.vendor == "postgresql":
        names = ["search_path", "role", *(each for each in names if not _is_of_mysql(each))]
        columns = ", ".join(["current_setting(%s, true)"] * len(names))
        values = _fetch(connection, columns, names)
    elif connection.vendor == "mysql":
        variables = [each for each in names if _is_of_mysql(each)]
        names = ["database", "role", *variables]
        values = _fetch(connection, ", ".join(["DATABASE()", "CURRENT_ROLE()", *variables]), [])
    else:
        return {}
    return {
        name: str(value) for name, value in zip(names, values, strict=True) if value is not None
    }


def _is_of_mysql(name: str) -> bool:
    return name.startswith("@")


def _fetch(connection: Any, columns: str, params: list[str]) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns}", params)
        found: tuple[Any, ...] = cursor.fetchone()
    return found

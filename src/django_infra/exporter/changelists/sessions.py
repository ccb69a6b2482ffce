"""Read the settings of a database session on which the rows of a query depend."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.crypto import salted_hmac

from django_infra.exporter.conf import conf

SALT = "django_infra.exporter.changelists.sessions"


def read_session(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Return search path, role and digests of the variables that EXPORTER_SESSION_SETTINGS names.

    The job carries them, and a variable may hold what is nobody else's to read.
    """
    if connection.vendor == "postgresql":
        variables = [name for name in conf.session_settings if not _is_of_mysql(name)]
        names = ["search_path", "role", *variables]
        values = _fetch(connection, ", ".join(["current_setting(%s, true)"] * len(names)), names)
    elif connection.vendor == "mysql":
        variables = [name for name in conf.session_settings if _is_of_mysql(name)]
        names = ["database", "role", *variables]
        values = _fetch(connection, ", ".join(["DATABASE()", "CURRENT_ROLE()", *variables]), [])
    else:
        return {}
    return {
        name: salted_hmac(SALT, str(value), algorithm="sha256").hexdigest()
        if name in variables
        else str(value)
        for name, value in zip(names, values, strict=True)
        if value is not None
    }


def _is_of_mysql(name: str) -> bool:
    return name.startswith("@")


def _fetch(connection: BaseDatabaseWrapper, columns: str, params: list[str]) -> Sequence[object]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns}", params)
        found: Sequence[object] = cursor.fetchone()
    return found

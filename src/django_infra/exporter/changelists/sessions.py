"""Read the settings of a database session on which the rows of a query depend."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.crypto import salted_hmac

from django_infra.exporter.conf import conf
from django_infra.exporter.sources.sessions import list_names, make_postgresql_array

SALT = "django_infra.exporter.changelists.sessions"


def read_session(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Return search path, role and digests of the variables that EXPORTER_SESSION_SETTINGS names.

    The job carries them, and a variable may hold what is nobody else's to read.
    """
    names = list_names(connection.vendor)
    if connection.vendor == "postgresql":
        (values,) = _fetch(connection, make_postgresql_array())
    elif connection.vendor == "mysql":
        values = _fetch(connection, ", ".join(["DATABASE()", "CURRENT_ROLE()", *names[2:]]))
    else:
        return {}
    variables = conf.session_settings
    return {
        name: salted_hmac(SALT, str(value), algorithm="sha256").hexdigest()
        if name in variables
        else str(value)
        for name, value in zip(names, values, strict=True)
        if value is not None
    }


def _fetch(connection: BaseDatabaseWrapper, columns: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns}")
        found = cursor.fetchone()
    return found

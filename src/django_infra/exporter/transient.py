"""Which errors pass by themselves, so that another attempt makes sense."""

from __future__ import annotations

import errno
from typing import Any

from django.db import InterfaceError, OperationalError

# Classes of SQLSTATE: connection, rollback of a transaction (deadlock, conflict with recovery),
# resources; and codes: shutdown, crash, start-up, a lock that was not available.
POSTGRESQL_STATES = ("08", "40", "53", "57P01", "57P02", "57P03", "55P03")

# Too many connections, shutdown, network, lock timeout, deadlock, connection killed or lost.
MYSQL_CODES = frozenset(
    {1040, 1053, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1927}
    | {2002, 2003, 2006, 2013, 2055, 4031}
)

# The primary result codes BUSY, LOCKED and PROTOCOL, https://www.sqlite.org/rescode.html
SQLITE_CODES = frozenset({5, 6, 15})

OS_ERRORS = frozenset(
    {errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EIO, errno.ESTALE, errno.ENOSPC, errno.EDQUOT}
    | {errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH}
)


# Of clients of object stores, which need not be installed: they did not reach the server.
CLIENT_ERRORS = frozenset(
    {
        "azure.core.exceptions.ServiceRequestError",
        "azure.core.exceptions.ServiceResponseError",
        "botocore.exceptions.HTTPClientError",
        "requests.exceptions.ConnectionError",
        "requests.exceptions.Timeout",
    }
)


def is_transient(error: BaseException) -> bool:
    """Tell whether the error is of a database or storage that will be well again."""
    if isinstance(error, OperationalError | InterfaceError):
        return _is_transient_in_database(error)
    if isinstance(error, ConnectionError | TimeoutError) or _is_of_client(error):
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in OS_ERRORS
    status = _get_http_status(error)
    return status is not None and (500 <= status < 600 or status in (408, 425, 429))


def _is_transient_in_database(error: Exception) -> bool:
    cause: Any = error.__cause__
    if (code := getattr(cause, "sqlite_errorcode", None)) is not None:
        return code & 0xFF in SQLITE_CODES
    if hasattr(cause, "sqlstate") or hasattr(cause, "pgcode"):
        # Without one the server could not say anything more.
        state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
        return state is None or state.startswith(POSTGRESQL_STATES)
    if error.args and isinstance(error.args[0], int):
        return error.args[0] in MYSQL_CODES
    return True


def _is_of_client(error: BaseException) -> bool:
    names = {f"{each.__module__}.{each.__qualname__}" for each in type(error).__mro__}
    return not names.isdisjoint(CLIENT_ERRORS)


def _get_http_status(error: BaseException) -> int | None:
    """Return the status by which a server refused, as the clients of object stores keep it."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        candidates = (response, "status_code"), (error, "status_code"), (error, "code")
        status = next((getattr(*pair) for pair in candidates if hasattr(*pair)), None)
    return status if isinstance(status, int) else None

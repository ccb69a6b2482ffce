"""Tell which errors pass by themselves, so that another attempt makes sense."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

from django.db import Error, InterfaceError, OperationalError

from django_infra.exporter.exceptions import ExportInterrupted

# Classes of SQLSTATE: connection, rollback of a transaction (deadlock, conflict with recovery),
# resources; and codes: shutdown, crash, start-up, a lock that was not available, a session that
# was idle for too long, outside of a transaction and within one.
POSTGRESQL_STATES = ("08", "40", "53", "57P01", "57P02", "57P03", "55P03", "57P05", "25P03")

# Too many connections, shutdown, network, lock timeout, deadlock, connection killed or lost.
MYSQL_CODES = frozenset(
    {1040, 1053, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1927}
    | {2002, 2003, 2006, 2013, 2055, 4031}
)

# The primary result codes BUSY, LOCKED and PROTOCOL, https://www.sqlite.org/rescode.html
SQLITE_CODES = frozenset({5, 6, 15})
SQLITE_LOCKED = frozenset({5, 6})

OS_ERRORS = frozenset(
    {errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EIO, errno.ESTALE}
    | {errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH}
)

# Somebody has to make room, and another attempt would fill the disk again until then.
FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT})

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


# Raised wherever the process is at the time, perhaps where a transient error is handled.
TIME_LIMITS = frozenset(
    {"billiard.exceptions.SoftTimeLimitExceeded", "rq.timeouts.BaseTimeoutException"}
)


def is_transient(error: BaseException, *, outer: BaseException | None = None) -> bool:
    """Tell whether the error is of a database or storage that will be well again.

    So is an error that was raised while such a one was handled: what leaves a context may need the
    same connection, and what was asked may be told in other words. ``outer`` was handled before the
    work began, and says nothing about it.
    """
    for each in _walk(error, outer):
        if not isinstance(each, Exception) or _is_decision(each):
            return False
        if _is_transient_itself(each):
            return True
        if isinstance(each, OperationalError | InterfaceError) or is_disk_full(each):
            return False
    return False


def is_locked(error: Error) -> bool:
    """Tell whether others have kept SQLite's database from being read or written."""
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in SQLITE_LOCKED


def is_disk_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in FULL_DISK


def _walk(error: BaseException, end: BaseException | None) -> Iterator[BaseException]:
    """Yield the error, what it was raised from or while handling, and so on up to the end."""
    seen = [end]
    following: BaseException | None = error
    while following is not None and not any(following is each for each in seen):
        yield following
        seen.append(following)
        context = None if following.__suppress_context__ else following.__context__
        following = following.__cause__ or context


def _is_decision(error: Exception) -> bool:
    return isinstance(error, ExportInterrupted) or not TIME_LIMITS.isdisjoint(_get_names(error))


def _is_transient_itself(error: Exception) -> bool:
    if isinstance(error, Error):
        return _is_transient_in_database(error)
    if isinstance(error, ConnectionError | TimeoutError) or _is_of_client(error):
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in OS_ERRORS
    status = _get_http_status(error)
    return status is not None and (500 <= status < 600 or status in (408, 425, 429))


def _is_transient_in_database(error: Error) -> bool:
    cause: Any = error.__cause__
    if (code := getattr(cause, "sqlite_errorcode", None)) is not None:
        return code & 0xFF in SQLITE_CODES
    is_of_connection = isinstance(error, OperationalError | InterfaceError)
    if hasattr(cause, "sqlstate") or hasattr(cause, "pgcode"):
        # Without one the server could not say anything more.
        state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
        return is_of_connection if state is None else state.startswith(POSTGRESQL_STATES)
    if error.args and isinstance(error.args[0], int):
        return error.args[0] in MYSQL_CODES
    return is_of_connection


def _is_of_client(error: BaseException) -> bool:
    return not CLIENT_ERRORS.isdisjoint(_get_names(error))


def _get_names(error: BaseException) -> list[str]:
    """Return the names of the error's classes, which need not be installed here."""
    return [f"{each.__module__}.{each.__qualname__}" for each in type(error).__mro__]


def _get_http_status(error: BaseException) -> int | None:
    """Return the status by which a server refused, as the clients of object stores keep it."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        candidates = (response, "status_code"), (error, "status_code"), (error, "code")
        status = next((getattr(*pair) for pair in candidates if hasattr(*pair)), None)
    return status if isinstance(status, int) else None

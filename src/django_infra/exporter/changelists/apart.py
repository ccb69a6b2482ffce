"""Run a function as a worker would, with the request's connections and nothing else of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from contextvars import Context
from threading import Thread
from typing import TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone, translation

Result = TypeVar("Result")


def run_apart(function: Callable[[], Result]) -> Result:
    """Return what the function does in a new thread whose context is empty.

    The thread has this one's connections, as a transaction may be open and a pool may have no
    other, and its language and time zone, which a job carries.
    """
    language, zone = translation.get_language(), timezone.get_current_timezone()
    future: Future[Result] = Future()

    def work() -> None:
        for connection in shared:
            connections[connection.alias] = connection
        own_language = translation.override(language) if language else nullcontext()
        try:
            with own_language, timezone.override(zone):
                future.set_result(function())
        except BaseException as error:
            future.set_exception(error)
        finally:
            # Nobody else can use what the function has opened in this thread.
            for connection in connections.all(initialized_only=True):
                if connection not in shared:
                    connection.close()

    # From Python 3.14 on a thread may begin with a copy of its caller's context.
    thread = Thread(target=Context().run, args=(work,), name="exporter-apart", daemon=True)
    with _share_connections() as shared:
        thread.start()
        try:
            thread.join()
        finally:
            # Nobody else may use the connections before it has ended, whatever interrupts.
            thread.join()
    return future.result()


@contextmanager
def _share_connections() -> Iterator[Sequence[BaseDatabaseWrapper]]:
    """Let another thread use the connections of this one."""
    shared = connections.all(initialized_only=True)
    for connection in shared:
        connection.inc_thread_sharing()
    try:
        yield shared
    finally:
        for connection in shared:
            connection.dec_thread_sharing()

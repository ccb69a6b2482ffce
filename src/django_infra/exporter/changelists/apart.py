"""Work where a worker would: with the request's connections, and nothing else of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from contextvars import Context
from threading import Thread
from typing import Any, TypeVar

from django.db import connections
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
        try:
            with _borrow(shared), ExitStack() as stack:
                if language:
                    stack.enter_context(translation.override(language))
                stack.enter_context(timezone.override(zone))
                future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    # From Python 3.14 on a thread may begin with a copy of its caller's context.
    thread = Thread(target=Context().run, args=(work,), name="exporter-apart", daemon=True)
    with _share() as shared:
        thread.start()
        try:
            thread.join()
        finally:
            # Nobody else may use the connections before it has ended, whatever interrupts.
            thread.join()
    return future.result()


@contextmanager
def _share() -> Iterator[Sequence[Any]]:
    """Let another thread use the connections of this one."""
    shared: Sequence[Any] = connections.all(initialized_only=True)
    for connection in shared:
        connection.inc_thread_sharing()
    try:
        yield shared
    finally:
        for connection in shared:
            connection.dec_thread_sharing()


@contextmanager
def _borrow(shared: Sequence[Any]) -> Iterator[None]:
    """Make another thread's connections this one's, and close those that it opens."""
    for connection in shared:
        connections[connection.alias] = connection
    try:
        yield
    finally:
        for connection in connections.all(initialized_only=True):
            if connection not in shared:
                connection.close()

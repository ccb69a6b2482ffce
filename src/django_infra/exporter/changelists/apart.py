"""Work where a worker would: with the request's connections, and nothing else of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
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
    borrowed: list[Any] = list(connections.all())
    language, zone = translation.get_language(), timezone.get_current_timezone()
    future: Future[Result] = Future()

    def work() -> None:
        for connection in borrowed:
            connections[connection.alias] = connection
        try:
            with ExitStack() as stack:
                if language:
                    stack.enter_context(translation.override(language))
                stack.enter_context(timezone.override(zone))
                future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    thread = Thread(target=Context().run, args=(work,), name="exporter-apart", daemon=True)
    for connection in borrowed:
        connection.inc_thread_sharing()
    try:
        thread.start()
        try:
            thread.join()
        finally:
            # Nobody else may use the connections before it has ended, whatever interrupts.
            thread.join()
    finally:
        for connection in borrowed:
            connection.dec_thread_sharing()
    return future.result()

"""Run what an export needs beside the connection that streams, in threads that it can leave.

1. A ticker says once a second what is to be done, and never waits for a database.
2. A teller talks to the database, on a connection of its own, which it may have to wait for.
3. An interrupter stops a statement, for which some databases need a connection too.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_infra.exporter.conf import conf
from django_infra.exporter.sources import Source
from django_infra.exporter.sources.sessions import Session

logger = logging.getLogger(__name__)

PATIENCE = 0.5  # seconds that a thread is given to end by itself, or by being interrupted
JOIN_TIMEOUT = 5.0  # seconds to wait for a thread whose statement does not end


class Ticker:
    """Call a function with 1, 2, 3 … once in an interval. It must not wait for a database.

    The thread ends with the ticker too, as an interrupt may keep its owner from stopping it.
    """

    def __init__(self, name: str, tick: Callable[[int], None], *, interval: float) -> None:
        self.tick = tick
        self._stop = threading.Event()
        weakref.finalize(self, self._stop.set)
        arguments = weakref.ref(self), self._stop, interval
        self._thread = threading.Thread(target=_tick, args=arguments, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(JOIN_TIMEOUT)


def _tick(reference: weakref.ref[Ticker], stop: threading.Event, interval: float) -> None:
    number = 0
    while not stop.wait(interval) and (ticker := reference()) is not None:
        number += 1
        try:
            ticker.tick(number)
        except Exception:  # such as that no thread can be started now
            logger.exception("%s failed, and goes on.", threading.current_thread().name)
        del ticker


class SecondConnection:
    """A connection for a thread beside that of the first one, which is busy.

    It is never taken from Django's pool, whose connections may all be busy with exports.
    """

    def __init__(self, first: BaseDatabaseWrapper) -> None:
        self._first = first
        self._wrapper: BaseDatabaseWrapper | None = None

    def install(self) -> BaseDatabaseWrapper:
        """Make it the connection of its alias in the calling thread."""
        # A session is set in one message with the statement, whose parameters must be in it.
        options = {
            name: value
            for name, value in self._first.settings_dict["OPTIONS"].items()
            if name not in ("pool", "server_side_binding")
        }
        if self._first.vendor in ("mysql", "postgresql"):
            options.setdefault("connect_timeout", max(2, int(conf.lease / 4)))
        settings = {**self._first.settings_dict, "OPTIONS": options}
        self._wrapper = type(self._first)(settings, self._first.alias)
        connections[self._first.alias] = self._wrapper
        return self._wrapper

    @property
    def is_open(self) -> bool:
        return self._wrapper is not None and self._wrapper.connection is not None

    def cut(self) -> None:
        """End it from another thread: whoever waits for an answer gets an error."""
        if self._wrapper is not None:
            cut(self._wrapper)


class Teller:
    """Call a function each time that it is asked to, in a thread with a second connection.

    ``error`` is what the last call has raised, or what has kept it from connecting. The thread
    ends with the teller too.
    """

    def __init__(
        self,
        name: str,
        tell: Callable[[BaseDatabaseWrapper], object],
        *,
        first: BaseDatabaseWrapper,
        session: Session,
    ) -> None:
        self.error: Exception | None = None
        self._name = name
        self._tell = tell
        self._second = SecondConnection(first)
        self._session = session
        self._asked = threading.Event()
        self.is_stopped = False
        weakref.finalize(self, self._asked.set)
        arguments = weakref.ref(self), self._second, self._asked
        self._thread = threading.Thread(target=_tell, args=arguments, name=name, daemon=True)

    def ask(self) -> None:
        if self._thread.ident is None:
            self._thread.start()
        self._asked.set()

    def stop(self) -> None:
        """End the thread, or leave it if it waits for a connection, which it then closes."""
        self.is_stopped = True
        self._asked.set()
        if self._thread.ident is None:
            return
        self._thread.join(PATIENCE)
        if self._thread.is_alive() and self._second.is_open:
            # Behind a pool a statement may wait for a connection too.
            self._second.cut()
            self._thread.join(JOIN_TIMEOUT)

    def try_to_tell(self, connection: BaseDatabaseWrapper) -> None:
        try:
            connection.ensure_connection()
            if not self.is_stopped:
                with self._session.on(connection):
                    self._tell(connection)
                self.error = None
        except Exception as error:  # also that of a backend which misses its tenant
            level = logging.DEBUG if self.error or self.is_stopped else logging.WARNING
            logger.log(level, "The %s did not reach its row.", self._name, exc_info=True)
            self.error = error
            with suppress(Exception):
                connection.close()


def _tell(reference: weakref.ref[Teller], second: SecondConnection, asked: threading.Event) -> None:
    try:
        connection = second.install()
        while asked.wait() and (teller := reference()) is not None and not teller.is_stopped:
            asked.clear()
            teller.try_to_tell(connection)
            del teller
    finally:
        close_all()


class Interrupter:
    """Interrupt a source from a thread that nobody has to wait for."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None

    def interrupt(self, source: Source) -> None:
        """Do so, unless the last time is not over yet."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=source.interrupt, name=self._name, daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Let none that is on its way hit the next statement of the connection."""
        if self._thread is not None:
            self._thread.join(PATIENCE)


def cut(connection: BaseDatabaseWrapper) -> None:
    """Shut the socket of a connection down, if its driver tells it."""
    raw: Any = connection.connection
    with suppress(Exception):  # it may be closed at any moment
        # PyMySQL alone does not tell the number.
        number = raw._sock.fileno() if hasattr(raw, "_sock") else raw.fileno()
        with socket.socket(fileno=os.dup(number)) as twin:
            twin.shutdown(socket.SHUT_RDWR)


def close_all() -> None:
    """Close the connections of the calling thread, also those that are lost."""
    with suppress(Error):
        connections.close_all()

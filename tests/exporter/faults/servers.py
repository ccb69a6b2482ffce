"""Servers of our own, which a test may stop, starve and deceive."""

from __future__ import annotations

import itertools
import os
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

PROGRAMS = Path("/usr/lib/postgresql")


class PostgreSQL:
    """A throw-away cluster in a temporary folder, run by the user postgres if we are root."""

    def __init__(self, **parameters):
        self.port = find_free_port()
        self.options = " ".join(f"-c {name}={value}" for name, value in parameters.items())
        self.user = "postgres" if os.geteuid() == 0 else None

    def __enter__(self):
        # Not pytest's folder, which no other user may enter.
        self.folder = Path(tempfile.mkdtemp(prefix="exporter-postgresql-"))
        if self.user:
            shutil.chown(self.folder, self.user)
        self.run("initdb", "-N", "-A", "trust", "-U", "postgres", "-E", "UTF8")
        self.start()
        return self

    def __exit__(self, *error):
        self.run("pg_ctl", "-m", "immediate", "stop", check=False)
        shutil.rmtree(self.folder)

    def start(self, command="start"):
        options = f"-F -h 127.0.0.1 -p {self.port} -k {self.folder} {self.options}"
        log = str(self.folder / "log")
        self.run("pg_ctl", "-w", "-m", "immediate", "-o", options, "-l", log, command)

    def restart(self):
        self.start("restart")

    def stop(self):
        self.run("pg_ctl", "-m", "immediate", "stop")

    def run(self, program, *arguments, check=True):
        subprocess.run(
            [find_program(program), "-D", str(self.folder / "data"), *arguments],
            check=check,
            cwd="/",
            user=self.user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def get_databases(self):
        return {
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "postgres",
                "USER": "postgres",
                "HOST": "127.0.0.1",
                "PORT": self.port,
            }
        }


class PgBouncer:
    """A pool before a PostgreSQL server, which gives each transaction another session."""

    def __init__(self, databases, *, size=4):
        self.databases = databases
        self.size = size
        self.port = find_free_port()
        self.user = "postgres" if os.geteuid() == 0 else None

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="exporter-pgbouncer-"))
        target = self.databases["default"]
        settings = self.folder / "pgbouncer.ini"
        settings.write_text(
            "[databases]\n"
            f"* = host={target['HOST']} port={target['PORT']} user={target['USER']}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\n"
            "unix_socket_dir =\nauth_type = any\npool_mode = transaction\n"
            f"default_pool_size = {self.size}\nserver_round_robin = 1\n"
        )
        for path in (self.folder, settings):
            if self.user:
                shutil.chown(path, self.user)
        self.process = subprocess.Popen(
            [shutil.which("pgbouncer"), "--quiet", str(settings)], cwd="/", user=self.user
        )
        wait_until_listening(self.port)
        return self

    def __exit__(self, *error):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder)

    def get_databases(self):
        pooled = {"HOST": "127.0.0.1", "PORT": self.port, "DISABLE_SERVER_SIDE_CURSORS": True}
        return {"default": self.databases["default"] | pooled}


class Redis:
    """A server that keeps nothing on disk."""

    def __init__(self):
        self.port = find_free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()

    def start(self):
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]
        self.process = subprocess.Popen(
            [shutil.which("redis-server"), *options], cwd="/", stdout=subprocess.DEVNULL
        )
        wait_until_listening(self.port)

    def restart(self):
        """Lose everything."""
        self.__exit__()
        self.start()


class DeafProxy:
    """Pass on what a database server and its client say, until the client has said a word.

    The server gets that word too, but its answer is lost with the connection.
    """

    def __init__(self, host, port, word):
        self.target = host or "127.0.0.1", int(port)
        self.word = word
        self.is_cut = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def __enter__(self):
        self.threads = [threading.Thread(target=self.listen)]
        self.threads[0].start()
        return self

    def __exit__(self, *error):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join()

    def listen(self):
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.threads.append(threading.Thread(target=self.serve, args=[client]))
                self.threads[-1].start()

    def serve(self, client):
        with suppress(OSError), client, socket.create_connection(self.target) as server:
            while True:
                readable, _, _ = select.select([client, server], [], [])
                if server in readable:
                    if not self.pass_on(server, client):
                        return
                elif self.word in (data := self.pass_on(client, server)) and not self.is_cut:
                    self.is_cut = True
                    server.recv(65536)  # it has been done
                    return
                elif not data:
                    return

    def pass_on(self, source, sink):
        data = source.recv(65536)
        sink.sendall(data)
        return data


class RefusingProxy(DeafProxy):
    """Cut the connection of whoever says the word, as long as ``is_refusing``.

    The server does not get it. The empty word is in all that is said, so that nothing gets through.
    """

    is_refusing = True

    def serve(self, client):
        with suppress(OSError), client, socket.create_connection(self.target) as server:
            while True:
                readable, _, _ = select.select([client, server], [], [])
                if server in readable:
                    if not self.pass_on(server, client):
                        return
                    continue
                data = client.recv(65536)
                if not data or (self.is_refusing and self.word in data):
                    self.is_cut = self.is_cut or bool(data)
                    return
                server.sendall(data)


class SilentProxy:
    """Pass connections on, and leave those of some numbers, from 1 on, without an answer."""

    def __init__(self, host, port, silent):
        self.target = host or "127.0.0.1", int(port)
        self.silent = silent
        self.sockets = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def __enter__(self):
        self.threads = [threading.Thread(target=self.listen)]
        self.threads[0].start()
        return self

    def __exit__(self, *error):
        for each in (self.listener, *self.sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        for each in (self.listener, *self.sockets):
            each.close()

    def listen(self):
        with suppress(OSError):
            for number in itertools.count(1):
                client, _ = self.listener.accept()
                self.sockets.append(client)
                if number not in self.silent:
                    server = socket.create_connection(self.target)
                    self.sockets.append(server)
                    for ends in ((client, server), (server, client)):
                        self.threads.append(threading.Thread(target=self.pass_on, args=ends))
                        self.threads[-1].start()

    def pass_on(self, source, sink):
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)


def find_program(name):
    """Return the newest server program of the name, or None."""
    return max(PROGRAMS.glob(f"*/bin/{name}"), default=None)


def wait_until_listening(port):
    for _ in range(200):
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise TimeoutError(f"Nothing listens on port {port}.")


def find_free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

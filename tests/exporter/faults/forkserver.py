"""A process that has imported everything once, and forks children from itself.

A child takes milliseconds to start instead of a second. It is as real as another process: it has
its own memory, connections, signals and standard streams, and dies alone.
"""

from __future__ import annotations

import gc
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module

import django
from django.conf import settings
from django.db import connections
from django.utils.module_loading import import_string

MAX_MESSAGE = 1 << 16
STREAMS = 3  # standard input, output and error


# ------------------------------------------------------------------------- the test's side


class ForkServer:
    """Start children, and learn how they have ended."""

    def __init__(self, environment):
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=environment,
            )
        self.started = []
        self.returncodes = {}

    def close(self):
        self.control.close()
        self.process.wait()

    def start(self, databases, *, module):
        """Fork a child that has these databases, and has imported the module already."""
        ends = [os.pipe() for _ in range(STREAMS)]
        stdin, stdout, stderr = ends
        theirs = [stdin[0], stdout[1], stderr[1]]
        request = json.dumps({"databases": databases, "module": module}).encode()
        socket.send_fds(self.control, [request], theirs)
        for descriptor in theirs:
            os.close(descriptor)
        while not self.started:
            self.listen(None)
        return Forked(self, self.started.pop(), [stdin[1], stdout[0], stderr[0]])

    def listen(self, timeout):
        """Take one message if it comes in time, and tell whether it did."""
        readable, _, _ = select.select([self.control], [], [], timeout)
        if readable:
            message = self.control.recv(MAX_MESSAGE)
            if not message:
                raise RuntimeError(f"The fork server has ended: {self.process.wait()}.")
            pid, returncode = json.loads(message)
            if returncode is None:
                self.returncodes.pop(pid, None)  # of another child that had this number
                self.started.append(pid)
            else:
                self.returncodes[pid] = returncode
        return bool(readable)


class Forked:
    """A child, with what the tests use of ``subprocess.Popen``."""

    def __init__(self, server, pid, descriptors):
        self.server = server
        self.pid = pid
        stdin, stdout, stderr = descriptors
        self.stdin = os.fdopen(stdin, "w")
        self.stdout = os.fdopen(stdout)
        self.stderr = os.fdopen(stderr)

    @property
    def returncode(self):
        return self.server.returncodes.get(self.pid)

    def poll(self):
        while self.returncode is None and self.server.listen(0):
            pass
        return self.returncode

    def wait(self, timeout=None):
        end = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            left = None if end is None else max(end - time.monotonic(), 0)
            if not self.server.listen(left):
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return self.returncode

    def kill(self):
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def communicate(self, timeout=None):
        """Close stdin, wait for the child to end, and return the rest of its output."""
        with suppress(BrokenPipeError):
            self.stdin.close()
        if self.stdout.closed:
            self.wait(timeout)
            return ["", ""]
        with ThreadPoolExecutor(2) as pool:
            outputs = [pool.submit(stream.read) for stream in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            finally:
                # What it has started may hold the other ends, and so ends with it.
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
        self.stdout.close()
        self.stderr.close()
        return [output.result() for output in outputs]


# ----------------------------------------------------------------------- the server's side


def main():
    control = socket.socket(fileno=int(sys.argv[1]))
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    django.setup()
    import_module("exporter.faults.jobs")
    connections.close_all()
    gc.freeze()  # what is never collected is never copied
    wakeup, waker = watch_children()
    while True:
        readable, _, _ = select.select([control, wakeup], [], [])
        if wakeup in readable:
            wakeup.recv(MAX_MESSAGE)
            tell_of_ended(control)
        if control in readable:
            message, descriptors, _, _ = socket.recv_fds(control, MAX_MESSAGE, STREAMS)
            if not message:
                return
            request = json.loads(message)
            import_module(request["module"])
            if (pid := os.fork()) == 0:
                become(descriptors)
                for end in (control, wakeup, waker):
                    end.close()
                return serve(request["databases"])
            for descriptor in descriptors:
                os.close(descriptor)
            control.send(json.dumps([pid, None]).encode())


def watch_children():
    """Return a socket that becomes readable when a child has ended, and its other end."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *args: None)
    signal.set_wakeup_fd(writer.fileno())
    return reader, writer


def tell_of_ended(control):
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        control.send(json.dumps([pid, os.waitstatus_to_exitcode(status)]).encode())


def become(descriptors):
    """Be a process of one's own: with these streams, a group, and nothing of the server's."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setpgid(0, 0)  # so that it can be ended with all that it starts
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    random.seed()


def serve(databases):
    """Run functions as lines on the standard input ask for them.

    They are of ``exporter.faults.jobs`` unless a line has the dotted path of another one.
    """
    from exporter.faults import jobs

    # Connect with these, and not with those of the server.
    for connection in connections.all(initialized_only=True):
        del connections[connection.alias]
    settings.DATABASES = databases
    connections.settings = connections.configure_settings(None)
    for name, value in json.loads(sys.stdin.readline()).items():
        setattr(settings, name, value)
    for line in sys.stdin:
        name, kwargs = json.loads(line)
        function = import_string(name) if "." in name else getattr(jobs, name)
        jobs.say(function(**kwargs))


if __name__ == "__main__":
    main()

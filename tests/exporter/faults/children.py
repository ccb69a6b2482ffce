"""Processes of their own that run the functions of ``exporter.faults.jobs``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings
from django.db import connections

from exporter.faults.forkserver import ForkServer

TESTS = Path(__file__).parents[2]
JOBS = "exporter.faults.jobs"
TIMEOUT = 120  # seconds: for a machine that is busy with other things


class Child:
    """A Python process with the test's settings, which calls one function after the other.

    The function's name and keywords go in as a line of JSON, and what it returns comes out as one.
    """

    server = None

    def __init__(self, *, databases=None, module=JOBS, server=None, **overrides):
        if server is None and Child.server is None:
            Child.server = ForkServer(make_environment())
        server = server or Child.server
        self.process = server.start(databases or get_databases(), module=module)
        self.process.stdin.write(json.dumps(get_settings() | overrides) + "\n")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.communicate()

    def call(self, function, **kwargs):
        """Call the function of the module ``jobs`` and return what it returns."""
        self.begin(function, **kwargs)
        return self.finish()

    def begin(self, function, **kwargs):
        self.process.stdin.write(json.dumps([function, kwargs]) + "\n")
        self.process.stdin.flush()

    def finish(self):
        """Return the next line that the child says."""
        if line := self.process.stdout.readline():
            return json.loads(line)
        raise RuntimeError(f"The child said nothing more: {self.process.communicate()[1]}")

    def proceed(self):
        """Let a child go on that waits for a line."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def wait(self):
        """Return the exit code of a child that ends by itself; nothing else is to be said."""
        self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode


def start_command(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, path=(), **overrides):
    """Start ``manage.py`` with the test's settings; ``path`` is looked for modules first."""
    changed = get_settings() | {"DATABASES": get_databases()} | overrides
    environment = make_environment(EXPORTER_CHILD_SETTINGS=json.dumps(changed))
    environment["PYTHONPATH"] = os.pathsep.join([*map(str, path), environment["PYTHONPATH"]])
    return subprocess.Popen(
        [sys.executable, "-m", "exporter.faults.manage", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env=environment,
    )


def make_environment(**variables):
    python_path = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
    return os.environ | {"PYTHONPATH": python_path} | variables


def end_fork_server():
    if Child.server is not None:
        Child.server.close()
        Child.server = None


def get_databases():
    """Return the settings of the test databases."""
    return {
        alias: {
            **connections[alias].settings_dict,
            "NAME": str(connections[alias].settings_dict["NAME"]),
        }
        for alias in connections
    }


def get_settings():
    """Return the settings of this process that a child would otherwise not have."""
    names = [name for name in dir(settings) if name.startswith("EXPORTER_")]
    return {
        "MEDIA_ROOT": str(settings.MEDIA_ROOT),
        "STORAGES": settings.STORAGES,
        **{name: getattr(settings, name) for name in names},
    }


def plan_chunks(on_chunk, *, chunk_size=10):
    """Return the settings of a child whose exports call a function of ``jobs`` at each chunk.

    A function of another module is named by its dotted path.
    """
    if "." not in on_chunk:
        on_chunk = f"{JOBS}.{on_chunk}"
    return {
        "EXPORTER_CHUNK_SIZE": chunk_size,
        "EXPORTER_FORMATS": {
            "csv": {
                "BACKEND": "exporter.faults.writers.SpiedCSVWriter",
                "OPTIONS": {"on_chunk": on_chunk},
            }
        },
    }

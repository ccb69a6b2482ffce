"""The demo's server, as tests start it: as it is, or with an app of the test's own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from browsers import TIMEOUT

DEMO = Path(__file__).parents[1] / "demo"


# A few rows, for tests that need no more.
FEW_FLIGHTS = """
import datetime
from flights.models import Airline, Airport, Flight
Airline.objects.create(code="AA", name="American")
jfk = Airport.objects.create(faa="JFK", name="Kennedy")
lax = Airport.objects.create(faa="LAX", name="Los Angeles")
hour = datetime.datetime(2013, 1, 1, 12, tzinfo=datetime.UTC)
for number, delay in [(1, 5), (2, None), (3, 50)]:
    Flight.objects.create(
        airline_id="AA", number=number, origin=jfk, destination=lax, date=hour.date(),
        time_hour=hour, scheduled_departure=hour, scheduled_arrival=hour.time(),
        departure_delay=delay, arrival_delay=delay, air_time=300, distance=2475,
    )
"""


# Runs code that comes as lines of JSON, with the names of a shell of Django's, and says what it
# prints in the same way.
CONSOLE = """
import contextlib, io, json, sys
import django
django.setup()
from django.core.management.commands.shell import Command
for line in sys.stdin:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(json.loads(line), Command().get_namespace(verbosity=0))
    print(json.dumps(printed.getvalue()), flush=True)
"""


class Server:
    """The server of the demo, with its data in a folder."""

    arguments = ("runserver", "--noreload", "127.0.0.1:0")

    def __init__(self, folder, **environ):
        self.folder = folder
        self.log = folder / "log"
        inherited = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
        self.environ = inherited | {
            "DEMO_DATA_DIR": str(folder / "data"),
            "PYTHONUNBUFFERED": "1",
            **environ,
        }

    def __enter__(self):
        self.prepare()
        with self.log.open("w") as log:
            command = self.get_command(*self.arguments)
            self.process = subprocess.Popen(command, env=self.environ, stdout=log, stderr=log)
        self.url = self.wait_for_url()
        return self

    def __exit__(self, *error):
        self.process.terminate()
        self.process.wait(TIMEOUT)

    def prepare(self):
        """Store what the server is to find."""

    def manage(self, *arguments):
        command = self.get_command(*arguments)
        result = subprocess.run(command, env=self.environ, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def get_command(self, *arguments):
        return [sys.executable, "-W", "error", str(DEMO / "manage.py"), *arguments]

    def wait_for_url(self):
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end and self.process.poll() is None:
            if match := re.search(r"http://127\.0\.0\.1:\d+/", self.log.read_text()):
                return match[0]
            time.sleep(0.1)
        self.process.kill()
        pytest.fail(self.log.read_text())


class Site(Server):
    """A server with an app ``trial``, whose exports can wait at a gate for the test."""

    # What the gated exports read: how many rows may pass.
    gate_variable = "TRIAL_GATE"

    def __init__(self, folder, *, settings, modules, data, rows):
        self.gate = folder / "gate"
        self.data = data
        self.rows = rows
        package = folder / "trial"
        package.mkdir()
        for name, code in {"__init__": "", **modules}.items():
            (package / f"{name}.py").write_text(code)
        (folder / "trial_settings.py").write_text(settings)
        super().__init__(
            folder,
            DJANGO_SETTINGS_MODULE="trial_settings",
            PYTHONPATH=os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
            TRIAL_GATE=str(self.gate),
        )

    def __exit__(self, *error):
        self.let_pass(self.rows)
        super().__exit__(*error)
        self.console.communicate()

    def prepare(self):
        self.let_pass(self.rows)
        self.manage("migrate", "--verbosity", "0")
        self.console = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", CONSOLE],
            cwd=DEMO,
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.execute(self.data)

    def execute(self, code):
        """Execute the code beside the server, and return what it prints."""
        self.console.stdin.write(json.dumps(code) + "\n")
        self.console.stdin.flush()
        return json.loads(self.console.stdout.readline())

    def let_pass(self, rows):
        """Let the gated export go on, up to and with the row of this number."""
        ready = self.gate.with_suffix(".new")
        ready.write_text(str(rows))
        ready.replace(self.gate)

    def read_file(self, export_id):
        return next(self.folder.rglob(f"{export_id}.csv")).read_bytes()


class Problems(list):
    """What the browser complains of; a test removes what it expects."""

    def __init__(self, page):
        page.on("pageerror", lambda error: self.append(str(error)))
        page.on("console", self.note_message)
        page.on("response", self.note_response)

    def note_message(self, message):
        # Which resource it was, the response says.
        is_known = message.text.startswith("Failed to load resource:")
        if message.type in ("error", "warning") and not is_known:
            self.append(message.text)

    def note_response(self, response):
        if response.status >= 400:
            path = re.sub(r"/\w+-\d{14}-\w+/", "/{id}/", urlsplit(response.url).path)
            self.append(f"{response.status} {response.request.method} {path}")

"""The demo is a user's project: it must stay whole, and its report must hold what it says."""

from __future__ import annotations

import csv
import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from http.cookiejar import CookieJar
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

from browsers import TIMEOUT
from sites import DEMO, FEW_FLIGHTS, Server

pytestmark = pytest.mark.external


def read_password(output, name="demo"):
    return re.search(rf"Log in as {name} with the password (\w+)$", output, re.MULTILINE)[1]


class Browser:
    """What reads pages, and keeps cookies."""

    def __init__(self, url):
        self.url = url
        self.cookies = CookieJar()
        self.opener = build_opener(HTTPCookieProcessor(self.cookies))

    def read(self, path, **data):
        """Return the page at which the path, or the posted data, ends."""
        body = urlencode(data).encode() if data else None
        with self.opener.open(self.url + path, body, timeout=TIMEOUT) as response:
            self.headers = response.headers
            return response.read().decode()

    def log_in(self, username, password):
        token = next(cookie.value for cookie in self.cookies if cookie.name == "csrftoken")
        data = {"username": username, "password": password, "csrfmiddlewaretoken": token}
        return self.read("login/", **data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def manage(folder):
    environ = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
    environ["DEMO_DATA_DIR"] = str(folder / "data")
    command = [sys.executable, "-W", "error", str(DEMO / "manage.py")]

    def run(*arguments, code=0):
        result = subprocess.run(
            [*command, *arguments],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout if code == 0 else result.stderr

    run.command, run.environ = command, environ
    run("migrate", "--verbosity", "0")
    run("shell", "--command", FEW_FLIGHTS)
    return run


def test_demo_is_clean(manage):
    assert "no issues" in manage("check")
    assert "No changes" in manage("makemigrations", "--check", "--dry-run")


def test_demo_shows_the_row_and_the_file(manage):
    output = manage("export_flights")

    facts = dict(re.findall(r"^(\w[\w ]*?)  +(.*)$", output, re.MULTILINE))
    assert facts["State"] == "Success"
    assert facts["Rows"] == "3"
    assert facts["Percent"] == "100"
    with open(facts["File"], newline="") as file:
        rows = {row["Flight"]: row for row in csv.DictReader(file)}
    assert [rows[number]["Rank by delay"] for number in "123"] == ["2", "3", "1"]
    assert rows["1"]["Airline's mean arrival delay (min)"] == "27.5"
    assert rows["1"]["Destination"] == "Los Angeles"
    last = output.splitlines()[-1]
    assert last == "Try next: make demo-site, then open http://127.0.0.1:8000/"


def run_in_terminal(columns, command, environ):
    """Return what the command writes to a terminal of so many columns."""
    terminal, end = os.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    with subprocess.Popen(command, env=environ, stdin=end, stdout=end, stderr=end) as process:
        os.close(end)
        output = b""
        # Linux says by an error that nobody writes to the terminal any more.
        with open(terminal, "rb", buffering=0) as file, suppress(OSError):
            while part := file.read(65536):
                output += part
    assert process.returncode == 0, output
    return output.decode()


@pytest.mark.parametrize("columns", [80, 40, 0])
def test_the_bar_stays_on_one_line(manage, columns):
    output = run_in_terminal(columns, [*manage.command, "export_flights"], manage.environ)

    bar, _, rest = output.partition("\n")
    drawn = [line.rstrip() for line in bar.split("\r")]
    # A terminal that does not know its columns is taken for one of 80.
    assert max(map(len, drawn)) < (columns or 80)
    last = [line for line in drawn if line][-1]
    assert re.fullmatch(r"Success, 3 rows: 100%\|█+\| 00:\d\d", last)
    assert rest.startswith("Export  ")


def test_the_progress_is_lines_where_there_is_no_terminal(manage):
    command = [*manage.command, "export_flights"]
    result = subprocess.run(command, env=manage.environ, capture_output=True, text=True, check=True)

    *lines, last = result.stderr.splitlines()
    assert last == "Success: 3 rows, 100 %"
    pattern = r"(Scheduled|Processing): [\d,]+ rows, (\d+|\?) %"
    assert [line for line in lines if not re.fullmatch(pattern, line)] == []


def test_demo_exports_a_second_time(manage):
    assert "Success" in manage("export_flights", "--limit", "2")


def test_demo_users_can_log_in(manage):
    code = "from django.test import Client; print(Client().login(username=%r, password=%r))"
    for name, arguments in {"demo": [], "clerk": ["clerk"]}.items():
        password = read_password(manage("demo_user", *arguments), name)

        assert "True" in manage("shell", "--command", code % (name, password))


@pytest.fixture
def no_exports(manage):
    manage("shell", "--command", "QueryExport.objects.all().delete()")


@pytest.fixture
def late_flight(manage):
    """Add a flight that is later than is believed, which the whole data set has as well."""
    late = "flight.pk, flight.number, flight.departure_delay = None, 4, 1_301"
    code = f"flight = Flight.objects.get(number=1)\n{late}\nflight.save()"
    manage("shell", "--command", code)
    yield
    manage("shell", "--command", "Flight.objects.filter(number=4).delete()")


def read_commands(target, *variables):
    """Return what ``make`` would run of the demo once its environment is there."""
    make = ["make", "--dry-run", "--old-file", ".venv/demo/flights", target, *variables]
    lines = subprocess.run(make, cwd=DEMO.parent, capture_output=True, text=True, check=True)
    return re.findall(r"^\S+/python demo/manage.py (.*)$", lines.stdout, re.MULTILINE)


@pytest.mark.usefixtures("no_exports", "late_flight")
def test_each_target_shows_what_it_promises_whichever_ran_before(manage):
    outputs = [
        manage(*command.split())
        for target in ["demo", "demo-site", "demo", "demo-site"]
        for command in read_commands(target)
        if command in ("export_flights", "demo_exports")
    ]

    first, made, second, kept = outputs
    for output in (first, second):
        assert re.search(r"^State +Success$", output, re.MULTILINE)
    assert made == "Exports made: 6. Failed or cancelled of these: 3.\n"
    assert kept == "The exports to look at are there already.\n"
    code = "print(*(f'{e.name}:{e.attempt} {e.error_log}' for e in QueryExport.objects.failed()))"
    errors = manage("shell", "--command", code)
    assert "checked-delays:1 ValueError: A flight was 1,301 minutes late" in errors
    assert "weather-now:3 ConnectionRefusedError" in errors
    assert "slow-flights:0 django_infra.exporter.exceptions.ExportCancelled" in errors


@pytest.mark.usefixtures("no_exports", "late_flight")
def test_demo_exports_that_are_missing_are_made_again(manage):
    manage("demo_exports")
    code = """
exports = QueryExport.objects
exports.filter(name="").delete()
exports.filter(name="slow-flights").delete()
exports.filter(name="checked-delays").update(state="processing")
"""
    manage("shell", "--command", code)

    assert "Exports made: 3. Failed or cancelled of these: 2." in manage("demo_exports")


def test_a_demo_export_fails_in_the_middle(manage):
    result = manage("export_queryset", "checked-delays", "--param", "longest=10", code=1)

    assert "A flight was 50 minutes late, and 10 are believed at most." in result


def test_a_slow_export_takes_its_time(manage):
    started = time.monotonic()
    params = ["--param", "rows=2", "--param", "seconds=2"]
    output = manage("export_queryset", "slow-flights", *params, "--output", "-")

    assert output.splitlines()[1:] == ["2013-01-01,American,1,1.0", "2013-01-01,American,2,1.0"]
    assert time.monotonic() - started > 2


@pytest.mark.usefixtures("no_exports", "late_flight")
def test_the_demo_site_is_served(manage, folder):
    *commands, served = read_commands("demo-site", "PORT=8123")
    outputs = [manage(*command.split()) for command in commands]
    assert served == "runserver --noreload 127.0.0.1:8123"

    with Server(folder) as server:
        browser = Browser(server.url)
        assert "<h1>Log in</h1>" in browser.read("")
        assert "<h1>Exports</h1>" in browser.log_in("demo", read_password("".join(outputs)))
        assert "checked-delays" in browser.read("admin/exporter/queryexport/?state__exact=fail")
        assert browser.read("admin/flights/flight/")
        assert "unsafe" not in browser.headers["Content-Security-Policy"]
        assert "<svg" in browser.read("favicon.ico")

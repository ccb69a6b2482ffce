"""The demo is a user's project: it must stay whole, and its report must hold what it says."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

DEMO = Path(__file__).parents[1] / "demo"

pytestmark = pytest.mark.skipif(
    connection.vendor != "sqlite", reason="the demo uses SQLite, whatever the tests use"
)

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


@pytest.fixture(scope="module")
def manage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    environ = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}

    def run(*arguments):
        result = subprocess.run(
            [sys.executable, "-W", "error", str(DEMO / "manage.py"), *arguments],
            env={**environ, "DEMO_DATA_DIR": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

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


def test_demo_exports_a_second_time(manage):
    assert "Success" in manage("export_flights", "--limit", "2")


def test_demo_user_can_log_in(manage):
    password = re.search(r"password (\w+)$", manage("demo_user").strip())[1]
    code = "from django.test import Client; print(Client().login(username='demo', password=%r))"

    assert "True" in manage("shell", "--command", code % password)

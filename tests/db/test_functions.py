from __future__ import annotations

import datetime
import time

import pytest
from django.db import connection, connections
from django.utils import timezone

from django_infra.db.functions import DatabaseNow, DatabaseTime
from testapp.models import Profile

pytestmark = pytest.mark.django_db

SET_TIME_ZONE = {
    "mysql": "SET time_zone = '{}'",
    "postgresql": "SET TIME ZONE INTERVAL '{}' HOUR TO MINUTE",
}


@pytest.fixture
def profile():
    return Profile.objects.create(name="Ada")


@pytest.fixture
def set_time_zone():
    """Change the time zone of the session until the end of the test."""

    def execute(offset):
        with connection.cursor() as cursor:
            cursor.execute(SET_TIME_ZONE[connection.vendor].format(offset))

    yield execute
    execute("+00:00")


def read(**expressions):
    return Profile.objects.annotate(**expressions).values_list(*expressions).get()


def test_is_the_present_in_utc(profile):
    (now,) = read(now=DatabaseTime())
    assert abs(timezone.now() - now) < datetime.timedelta(minutes=1)


def test_moves_within_a_transaction_and_in_fractions_of_a_second(profile):
    (before,) = read(now=DatabaseTime())
    time.sleep(0.05)
    (after,) = read(now=DatabaseTime())
    assert datetime.timedelta(seconds=0.04) < after - before < datetime.timedelta(minutes=5)


@pytest.mark.parametrize("seconds", [-61, -0.5, 0.5, 86400])
def test_what_is_written_compares_with_itself(profile, seconds):
    moment = DatabaseTime() + datetime.timedelta(seconds=seconds)
    Profile.objects.update(created_at=moment)
    assert Profile.objects.filter(created_at__lt=DatabaseTime()).exists() is (seconds < 0)


@pytest.mark.only_on(*SET_TIME_ZONE)
@pytest.mark.parametrize("offset", ["+05:00", "-07:30"])
def test_does_not_depend_on_the_time_zone_of_the_session(profile, set_time_zone, offset):
    set_time_zone(offset)
    Profile.objects.update(created_at=DatabaseTime())
    set_time_zone("+00:00")
    minute = datetime.timedelta(minutes=1)
    assert Profile.objects.filter(
        created_at__gt=DatabaseTime() - minute, created_at__lt=DatabaseTime() + minute
    ).exists()


# PostgreSQL keeps time zones itself.
needs_django_zones = pytest.mark.only_on("mysql", "sqlite")
ZONES = [
    None,
    pytest.param("Asia/Kathmandu", marks=needs_django_zones),
    pytest.param("America/St_Johns", marks=needs_django_zones),
]


@pytest.fixture(params=ZONES)
def zone(request, monkeypatch):
    """Have the connection keep moments in a time zone."""
    monkeypatch.setitem(connection.settings_dict, "TIME_ZONE", request.param)
    forget_zone()
    yield request.param
    forget_zone()


def forget_zone():
    for name in ("timezone", "timezone_name"):
        connections["default"].__dict__.pop(name, None)


def test_moment_is_one_of_python_s(profile, zone):
    before = timezone.now() - datetime.timedelta(seconds=1)
    Profile.objects.update(created_at=DatabaseNow())
    profile.refresh_from_db()
    assert before <= profile.created_at <= timezone.now() + datetime.timedelta(seconds=1)


@pytest.mark.parametrize("seconds", [-3, 3])
def test_moment_compares_with_python_s(profile, zone, seconds):
    Profile.objects.update(created_at=timezone.now() + datetime.timedelta(seconds=seconds))
    assert Profile.objects.filter(created_at__lte=DatabaseNow()).exists() is (seconds < 0)


@pytest.mark.parametrize("zone_name", ["UTC", "Asia/Kathmandu"])
def test_moment_without_time_zones(profile, settings, zone_name):
    settings.USE_TZ, settings.TIME_ZONE = False, zone_name
    Profile.objects.update(created_at=DatabaseNow() + datetime.timedelta(hours=1))
    profile.refresh_from_db()
    left = profile.created_at - timezone.now()
    assert datetime.timedelta(minutes=59) < left <= datetime.timedelta(minutes=61)
    assert not Profile.objects.filter(created_at__lte=DatabaseNow()).exists()


@pytest.mark.only_on("mysql", "postgresql")
def test_moment_does_not_depend_on_the_session(profile, set_time_zone):
    set_time_zone("+05:45")
    Profile.objects.update(created_at=DatabaseNow())
    set_time_zone("+00:00")
    profile.refresh_from_db()
    assert abs(timezone.now() - profile.created_at) < datetime.timedelta(minutes=1)

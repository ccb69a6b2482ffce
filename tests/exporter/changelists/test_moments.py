from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from django.utils import timezone

from django_infra.exporter.changelists.moments import find_moment_fault, make_moment

DATE, TIME, QUERY = "depends on the date", "has moved by", "is another"


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        ("2026-01-02 03:04:05.000006", "2026-01-02 03:04:05.000006"),
        ("2026-01-02 03:04:05+00:00", "2026-01-02 03:04:05+00:00"),
        ("2026-01-02", "2026-01-02"),
        ("23:59:59.5", "23:59:59.5"),
    ],
)
def test_dates_and_times_are_moments(value, moment):
    assert make_moment(value) == moment


@pytest.mark.parametrize(
    "value",
    ["", "x", " ", "2026", 2026, 1.5, None, "2026-13-01", "2026-01-02 ", "2026-01-02 25:00"],
)
def test_other_literals_are_no_moments(value):
    assert make_moment(value) is None


@pytest.mark.parametrize(
    ("first", "second", "passed", "fault"),
    [
        ("2026-01-02 03:04:05.000001", "2026-01-02 03:04:05.000001", 0, None),
        ("2026-01-02 03:04:05.000001", "2026-01-02 03:04:05.000001", 86400, None),
        ("2026-01-02 03:04:05.000001", "2026-01-02 03:04:07.000001", 2, None),
        ("2026-01-02 03:04:05.000001", "2026-01-02 03:04:07.000001", 1, TIME),
        ("2026-01-02 03:04:05.000001", "2026-01-02 03:04:07.000001", 9, TIME),
        ("2026-01-02 03:04:07.000001", "2026-01-02 03:04:05.000001", 2, TIME),
        # To the second, minute and hour.
        ("2026-01-02 03:04:05", "2026-01-02 03:04:06", 0.1, None),
        ("2026-01-02 03:04:05", "2026-01-02 03:04:07", 0.1, TIME),
        ("2026-01-02 03:04", "2026-01-02 03:05", 0.1, None),
        ("2026-01-02 03:04", "2026-01-02 03:06", 0.1, TIME),
        ("2026-01-02 03:00:00+00:00", "2026-01-02 04:00:00+00:00", 5, None),
        ("2026-01-02 03:00:00+00:00", "2026-01-02 05:00:00+00:00", 5, TIME),
        ("03:04:05.5", "03:04:06.5", 1, None),
        ("23:59:59.5", "00:00:00.5", 1, TIME),
        # Days, however long that took.
        ("2026-01-02", "2026-01-03", 0, DATE),
        ("2026-01-02", "2026-01-03", 86400, DATE),
        ("2026-01-02 00:00:00", "2026-01-03 00:00:00", 86400, DATE),
        ("2026-01-02 09:00:00", "2026-01-03 09:00:00", 86400, DATE),
        ("2026-01-02T23:00:00+00:00", "2026-01-03T23:00:00+00:00", 1, DATE),
        # Texts that are none any more.
        ("2026-01-02 00:00:00", "2026-01-03 00:00:00+00:00", 1, QUERY),
    ],
)
def test_a_moment_moves_by_the_time_that_passes(first, second, passed, fault):
    around = timedelta(milliseconds=10)
    passed = timedelta(seconds=passed)
    found = find_moment_fault(first, second, passed - around, passed + around)
    assert (found is None) is (fault is None)
    assert fault is None or fault in str(found)


def test_a_day_of_25_hours_is_a_day():
    with timezone.override("Europe/Amsterdam"):
        first, second = "2026-10-24T22:00:00+00:00", "2026-10-25T23:00:00+00:00"
        passed = timedelta(hours=25)
        assert DATE in str(find_moment_fault(first, second, passed, passed))

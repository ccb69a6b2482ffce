"""Queries that read the clock of their database: a time may pass, and a day may not."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.db.models import CharField, DateField, F, Q
from django.db.models.expressions import RawSQL
from django.db.models.functions import (
    Cast,
    ExtractWeek,
    ExtractYear,
    Left,
    Now,
    TruncDate,
    TruncDay,
    TruncTime,
)
from django.utils import timezone

from django_infra.exporter.changelists.export import NAME
from django_infra.exporter.changelists.statements import Statement, get_time
from django_infra.exporter.exceptions import OtherRows
from django_infra.exporter.export import schedule_export
from exporter.faults.children import start_command
from testapp.models import Author, Book

pytestmark = pytest.mark.django_db

TOKYO = ZoneInfo("Asia/Tokyo")
DAY = F("published_at__date")


def read(rows):
    since = get_time()
    return Statement.read(rows, since=since, until=get_time())


def raw(sql, *params):
    return Book.objects.filter(pages__gt=RawSQL(f"COALESCE(LENGTH({sql}), 0)", params))


ON_ANOTHER_DAY = {
    "TruncDate": lambda: Book.objects.filter(published_at__date=TruncDate(Now())),
    "TruncDate elsewhere": lambda: Book.objects.filter(
        published_at__date=TruncDate(Now(), tzinfo=TOKYO)
    ),
    "TruncDay": lambda: Book.objects.filter(published_at__gte=TruncDay(Now())),
    "TruncTime": lambda: Book.objects.filter(published_at__time__gte=TruncTime(Now())),
    "Cast": lambda: Book.objects.filter(published_at__date=Cast(Now(), DateField())),
    "ExtractYear": lambda: Book.objects.filter(published_at__year=ExtractYear(Now())),
    "ExtractWeek": lambda: Book.objects.filter(published_at__week=ExtractWeek(Now())),
    "text": lambda: Book.objects.annotate(day=Left(Cast(Now(), CharField()), 10)).filter(day="x"),
    "annotation": lambda: Book.objects.annotate(day=TruncDate(Now())).filter(Q(day__gt=DAY)),
    "union": lambda: Book.objects.filter(published_at__date=TruncDate(Now())).union(
        Book.objects.filter(pages=1)
    ),
    "CURRENT_DATE": lambda: raw("CAST(CURRENT_DATE AS CHAR(10))"),
    "current_date": lambda: raw("cast( current_date as char(10))"),
}
IN_A_WHILE = {
    "Now": lambda: Book.objects.filter(published_at__lte=Now()),
    "Now and a time": lambda: Book.objects.filter(published_at__range=(Now(), timezone.now())),
    "Now and a span": lambda: Book.objects.filter(published_at__gte=Now() - timedelta(days=7)),
    "no clock": lambda: Book.objects.filter(published_at__date__gt=timezone.now() - timedelta(9)),
    "texts": lambda: Book.objects.filter(title__in=["CURRENT_DATE", "today", "'now'", "now"]),
    "names": lambda: Book.objects.annotate(CURRENT_DATE=F("title")).filter(CURRENT_DATE="x"),
}
ONLY_ON = {
    "postgresql": [
        "now()::date::text",
        "'today'::date::text",
        "to_char(LOCALTIMESTAMP, 'D')",
        "date_part('doy', clock_timestamp())::text",
        "age(published_at)::text",
        "LEFT(now()::text, 10)",
        "FLOOR(EXTRACT(epoch FROM now()) / 86400)::text",
    ],
    "mysql": [
        "CURDATE()",
        "DATE(NOW())",
        "DAYNAME(SYSDATE())",
        "UTC_DATE()",
        "YEARWEEK(NOW())",
        "LEFT(LOCALTIMESTAMP, 10)",
        "UNIX_TIMESTAMP() DIV 86400",
    ],
    "sqlite": [
        "date('now')",
        "date()",
        "date(%s)",
        "strftime('%%Y', 'now')",
        "julianday(CURRENT_TIMESTAMP)",
        "substr(CURRENT_TIMESTAMP, 1, 10)",
        "CAST(unixepoch() / 86400 AS INT)",
    ],
}


def is_of_day(rows):
    return datetime.now(UTC).date().isoformat() in read(rows).moments


@pytest.mark.parametrize("name", ON_ANOTHER_DAY)
def test_a_day_of_the_clock_is_kept(name):
    assert is_of_day(ON_ANOTHER_DAY[name]())


@pytest.mark.parametrize("name", IN_A_WHILE)
def test_a_time_of_the_clock_is_none(name):
    moments = read(IN_A_WHILE[name]()).moments
    assert datetime.now(UTC).date().isoformat() not in moments


def test_days_of_raw_sql_are_kept():
    for sql in ONLY_ON[connection.vendor]:
        rows = raw(sql, *(["now"] if sql == "date(%s)" else []))
        assert is_of_day(rows), sql
        # The database takes it.
        assert list(rows) == []


def test_the_time_zone_of_the_query_counts():
    day = datetime.now(TOKYO).date().isoformat()
    assert day in read(ON_ANOTHER_DAY["TruncDate elsewhere"]()).moments


@pytest.mark.only_on("postgresql", "mysql")
def test_another_day_of_the_session_is_another(request):
    """The first of these time zones is always a day ahead of the second."""
    zone, places = {
        "postgresql": ("TIME ZONE", ("Pacific/Kiritimati", "Etc/GMT+12")),
        "mysql": ("time_zone =", ("+13:00", "-12:00")),
    }[connection.vendor]
    request.addfinalizer(connection.close)
    days = []
    for place in places:
        with connection.cursor() as cursor:
            cursor.execute(f"SET {zone} '{place}'")
        days.append(read(ON_ANOTHER_DAY["CURRENT_DATE"]()))
    with pytest.raises(OtherRows, match="depends on the date"):
        days[0].check(days[1])


# A worker that begins after midnight

BY_DAY = "Author.objects.annotate(day=TruncDate(Now())).filter(day__gte='2020-01-01')"
BY_TIME = "Author.objects.annotate(now=Now()).filter(now__gte='2020-01-01T00:00Z')"
CODE = """
from django.contrib import admin
from django.db import connection
from django.db.models.functions import Now, TruncDate
from django_infra.exporter.jobs.worker import run_job
from testapp.models import Author
with connection.cursor() as cursor:
    cursor.execute("SELECT CURRENT_DATE")
    print(cursor.fetchone()[0])
type(admin.site.get_model_admin(Author)).get_queryset = lambda self, request: {rows}
try:
    run_job({key!r})
except Exception as error:
    print(error)
"""


@pytest.fixture
def run_tomorrow(monkeypatch):
    """Run code in a process whose clock, with that of SQLite, is a day ahead."""

    def run(code):
        # Its path is another one on each system.
        shown = subprocess.run(
            ["faketime", "-f", "+1d", "printenv", "LD_PRELOAD"], capture_output=True, check=True
        )
        monkeypatch.setenv("LD_PRELOAD", shown.stdout.decode().strip())
        monkeypatch.setenv("FAKETIME", "+1d")
        process = start_command("shell", "--command", code)
        output, errors = process.communicate(timeout=60)
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
        assert tomorrow in output.decode(), errors.decode()

    return run


@pytest.mark.external
@pytest.mark.only_on("sqlite")
@pytest.mark.skipif(not shutil.which("faketime"), reason="faketime is not installed")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("rows", "state", "count"), [(BY_DAY, "fail", 0), (BY_TIME, "success", 25)]
)
def test_a_worker_after_midnight(
    library, ask, show, staff, run_tomorrow, settings, rows, state, count
):
    # Nobody gives the job up before.
    settings.EXPORTER_HANDOVER_TIMEOUT = 7 * 24 * 60 * 60
    show(lambda request: eval(rows))
    job = schedule_export(NAME, ask(Author), created_by=staff)
    run_tomorrow(CODE.format(rows=rows, key=job.pk))
    job.refresh_from_db()
    assert (job.state, job.row_count) == (state, count), job.error_log
    assert ("the query depends on the date" in job.error_log) is (state == "fail")

"""The pictures of docs/admin.md: with SCREENSHOTS=1 the tests take them anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pages.admin.steps import EXPORTS, add_column, get_chosen, get_rows

IMAGES = Path(__file__).parents[3] / "docs/images"
MAX_SIZE = 150_000  # bytes

# Rows as a busy site has them, without their files.
ROWS = """
from datetime import timedelta
from hashlib import sha256
from django.contrib.auth.models import User
from django.utils import timezone
from django_infra.exporter.models import ExportState, QueryExport
QueryExport.objects.all().delete()
now, ada = timezone.now(), User.objects.get(username="ada")
common = {"model_label": "flights.Flight", "format": "csv", "storage_alias": "default",
          "created_by": ada, "data_path": "sql"}
def make(number, minutes, **facts):
    start = now - timedelta(minutes=minutes)
    id = f"Flight-{start:%Y%m%d%H%M%S}-{sha256(bytes(number)).hexdigest():.22}"
    path = {"file_path": f"exports/{id}.csv", "object_name": f"exports/{id}.csv"}
    end = start + facts["job_time"] if "job_time" in facts else None
    times = {"created_at": start, "handed_over_at": start, "start_time": start, "finished_at": end}
    QueryExport.objects.create(**(common | path | {"id": id, "attempt": 1} | times | facts))
seconds = lambda number: timedelta(seconds=number)
make(1, 600, name="punctuality", state="success", row_count=336_776, progress_percent=100,
     file_size=56_340_112, job_time=seconds(11), file="exports/a.csv",
     checksum=sha256(b"1").hexdigest())
make(2, 240, state="success", row_count=43, progress_percent=100,
     file_size=2_310, job_time=seconds(0.04), file="exports/b.csv",
     checksum=sha256(b"2").hexdigest())
make(3, 90, name="checked-delays", state="fail", row_count=184_000, params={"longest": 1130},
     start_time=now - timedelta(minutes=88), finished_at=now - timedelta(minutes=88) + seconds(6),
     job_time=seconds(6), attempt=2, columns=[
         {"name": "date", "header": "Date"}, {"name": "airline__name", "header": "Airline"},
         {"name": "number", "header": "Flight"}, {"name": "delay", "header": "Delay"}],
     failures=[{"attempt": 1, "started_at": str(now - timedelta(minutes=90)),
                "ended_at": str(now - timedelta(minutes=89)),
                "error": "ConnectionResetError: [Errno 104] Connection reset by peer"}],
     error_log="ValueError: A flight was 1,137 minutes late, and 1,130 are believed at most."
               "\\nRow 184988, column 'Delay'.")
make(4, 2, name="slow-flights", state="processing", row_count=12_400, progress_percent=62,
     params={"rows": 20_000, "seconds": 200}, heartbeat_at=now)
make(5, 0, name="punctuality", state="scheduled", attempt=0, start_time=None)
"""


@pytest.fixture
def page(open_page, site):
    site.execute(ROWS)
    page = open_page("/admin/", user="boss", viewport={"width": 1280, "height": 900})
    page.evaluate("localStorage.setItem('django.admin.navSidebarIsOpen', 'false')")
    return page


def take(page, name):
    """Look whether the picture is small enough, and keep it if that is asked for."""
    picture = page.screenshot(animations="disabled")
    assert len(picture) < MAX_SIZE
    if os.environ.get("SCREENSHOTS") == "1":
        IMAGES.mkdir(exist_ok=True)
        (IMAGES / f"{name}.png").write_bytes(picture)


@pytest.mark.parametrize(("theme", "name"), [("light", "admin-list"), ("dark", "admin-list-dark")])
def test_the_list(theme, name, page, expect):
    page.set_viewport_size({"width": 1680, "height": 720})
    page.emulate_media(color_scheme=theme)
    page.goto(EXPORTS)
    expect(get_rows(page)).to_have_count(5)
    take(page, name)


@pytest.mark.parametrize("state", ["processing", "fail"])
def test_an_export(state, page, expect):
    page.goto(f"{EXPORTS}?state__exact={state}")
    get_rows(page).get_by_role("rowheader").get_by_role("link").click()
    expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    take(page, {"fail": "admin-failed"}.get(state, f"admin-{state}"))


def test_the_column_picker(page):
    page.set_viewport_size({"width": 1280, "height": 1020})
    page.goto(f"{EXPORTS}change-list/flights/flight/?origin__faa__exact=LGA&q=LAX&o=3")
    for path in ("origin", "plane", "departure_delay"):
        page.locator(f"input[type=checkbox][value={path}]").uncheck()
    add_column(page, "airline__name")
    page.get_by_label("Find columns").fill("air")
    assert "airline__name" in get_chosen(page)
    page.mouse.move(0, 0)
    take(page, "admin-columns")

"""What staff do in the pages, by the names that they see or hear."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

EXPORTS = "/admin/exporter/queryexport/"
FLIGHTS = "/admin/flights/flight/"
AIRPORTS = "/admin/flights/airport/"
LAST = re.compile(r"/queryexport/([^/]+)/(change/)?$")


def get_id(page):
    """Return the id of the export whose page this is."""
    return unquote(LAST.search(urlsplit(page.url).path)[1])


def start_named(page, name):
    """Start a named export from its page, and return its id."""
    page.goto(f"{EXPORTS}named/{name}/")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(LAST)
    return get_id(page)


def wait_for_state(page, state):
    """Wait until the page of an export is the one of this state: it loads itself anew for each."""
    page.locator(f"#export-news[data-reload={state}]").wait_for(state="attached")
    page.wait_for_load_state()


def get_rows(page, *ids):
    """Return the rows of a change list, or those that have one of the ids."""
    rows = page.locator("#result_list tbody tr")
    return rows.filter(has_text=re.compile("|".join(ids))) if ids else rows


def run_action(page, name):
    """Run an action of a change list on what is ticked."""
    page.get_by_label("Action:").select_option(label=name)
    page.locator("button[name=index]").click()


def download(page, act):
    """Return the bytes of the file that the browser gets when something is done."""
    with page.expect_download() as info:
        act()
    return Path(info.value.path()).read_bytes()


def make_csv(headers, rows):
    """Return what csv.writer makes of the rows."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([headers, *rows])
    return text.getvalue().encode()


def add_column(page, path):
    """Tick a column of the picker, after opening its group."""
    box = page.locator(f"input[type=checkbox][value='{path}']")
    if not box.is_visible():
        page.locator("details").filter(has=box).locator("summary").click()
    box.check()


def remove_columns(page):
    """Leave no column chosen, by keyboard."""
    while get_chosen(page):
        page.get_by_role("button", name=re.compile("^Remove ")).first.press("Enter")


def get_chosen(page):
    """Return the paths of the chosen columns, in order."""
    page.get_by_role("heading", name="Columns of the file, in order").wait_for()
    fields = page.get_by_role("list", name="Columns of the file, in order").locator("input")
    return fields.evaluate_all("fields => fields.map((field) => field.value)")


def tab_to(page, target, *, key="Tab", presses=100):
    """Go there by keyboard."""
    for _ in range(presses):
        page.keyboard.press(key)
        if target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{presses} times {key} do not lead to {target}.")

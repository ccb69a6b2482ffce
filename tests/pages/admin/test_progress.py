"""Exports that move: watched, cancelled, failing, from one tab and from two."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from pages.admin.steps import (
    EXPORTS,
    download,
    get_rows,
    run_action,
    start_named,
    wait_for_state,
)
from pages.admin.trial import ROWS


@pytest.fixture
def page(open_page):
    return open_page(EXPORTS + "named/", has_clock=True)


PROGRESS = f"{EXPORTS}progress/"


def note_requests(page):
    """Return a list that grows by the path and the query of each request of the page."""
    requests = []
    page.on("request", lambda request: requests.append(urlsplit(request.url)[2:4]))
    return requests


def get_bar(page, name="Airports at the gate"):
    return page.get_by_role("progressbar", name=f"Progress of {name}")


def test_an_export_is_watched_on_its_page_and_downloaded(page, site, expect, let_time_pass):
    site.let_pass(30)
    export_id = start_named(page, "gated")
    expect(get_bar(page)).to_have_attribute("value", re.compile("2[89]|30"))
    expect(page.locator("#content")).to_contain_text("Processing")
    expect(page.locator(".export-timeline")).to_contain_text("Started")
    page.wait_for_load_state()

    requests = note_requests(page)
    site.let_pass(70)
    expect(get_bar(page)).to_have_attribute("value", re.compile("6[89]|70"))
    assert {path for path, _ in requests} == {PROGRESS}
    site.let_pass(ROWS)
    wait_for_state(page, "success")
    expect(page.locator("#content")).to_contain_text("Success")
    content = download(page, page.get_by_role("link", name="Download").click)

    assert content == site.read_file(export_id)
    assert content.count(b"\r\n") == ROWS + 1
    requests.clear()
    let_time_pass(page, 120)
    assert requests == []


def test_all_rows_of_the_list_move_by_one_request(page, site, expect, let_time_pass):
    site.let_pass(10)
    ids = [start_named(page, "gated") for _ in range(2)]
    page.goto(EXPORTS)
    bars = [get_rows(page, each).locator("progress") for each in ids]
    for bar in bars:
        expect(bar).to_have_attribute("value", re.compile("8|9|10"))
    requests = note_requests(page)
    for _ in range(3):
        with page.expect_response(lambda response: PROGRESS in response.url):
            let_time_pass(page, 1)
    assert {path for path, _ in requests} == {PROGRESS}
    assert all(each in query for _, query in requests for each in ids)

    site.let_pass(ROWS)
    for each in ids:
        row = get_rows(page, each)
        expect(row).to_contain_text("Success")
        expect(row.get_by_role("link", name="Download")).to_be_visible()
    requests.clear()
    let_time_pass(page, 120)
    assert requests == []


def test_a_hidden_page_asks_nothing(page, site, expect, let_time_pass):
    page.add_init_script("Object.defineProperty(document, 'hidden', { get: () => window.isAway })")
    site.let_pass(10)
    start_named(page, "gated")
    expect(get_bar(page)).to_have_attribute("value", re.compile("8|9|10"))
    turn = "(it) => { window.isAway = it; document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(turn, True)
    requests = note_requests(page)
    let_time_pass(page, 120)
    assert requests == []

    with page.expect_request(lambda request: PROGRESS in request.url):
        page.evaluate(turn, False)


def test_an_export_is_cancelled_on_its_page(page, site, expect):
    site.let_pass(10)
    start_named(page, "gated")
    page.get_by_role("button", name="Cancel").click()

    expect(page.locator(".messagelist")).to_contain_text("1 export was cancelled.")
    expect(page.locator("#content")).to_contain_text("Cancelled by ada")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_exports_are_cancelled_on_the_list(page, site, expect):
    ended = start_named(page, "failing")
    site.let_pass(10)
    moving = start_named(page, "gated")
    page.goto(EXPORTS)
    for each in (ended, moving):
        get_rows(page, each).get_by_role("checkbox").check()
    run_action(page, "Cancel selected exports")

    told = page.locator(".messagelist")
    expect(told).to_contain_text("1 export was cancelled. 1 had ended already.")
    expect(get_rows(page, moving)).to_contain_text("Cancelled")


def test_two_tabs_watch_and_one_cancels(page, open_page, site, expect):
    site.let_pass(10)
    start_named(page, "gated")
    other = open_page(page.url, context=page.context)
    listed = open_page(EXPORTS, context=page.context)
    site.let_pass(40)
    for tab in (page, other):
        expect(get_bar(tab)).to_have_attribute("value", re.compile("3[89]|40"))
    page.get_by_role("button", name="Cancel").click()

    expect(other.locator("#content")).to_contain_text("Cancelled by ada")
    expect(get_rows(listed).nth(0)).to_contain_text("Cancelled")


def test_a_failure_can_be_read(page, expect):
    start_named(page, "failing")

    expect(page.locator("#content")).to_contain_text("The export is larger than allowed.")
    expect(page.get_by_role("link", name="Download")).to_have_count(0)
    first = page.url
    page.get_by_role("button", name="Run again").click()
    expect(page).not_to_have_url(first)
    expect(page.locator("#content")).to_contain_text("The export is larger than allowed.")


def test_a_lost_session_ends_the_questions(page, site, expect, let_time_pass):
    site.let_pass(10)
    start_named(page, "gated")
    expect(get_bar(page)).to_have_attribute("value", re.compile("8|9|10"))
    page.context.clear_cookies()
    with page.expect_response(lambda response: response.status == 302):
        let_time_pass(page, 1)
    requests = note_requests(page)
    let_time_pass(page, 120)

    assert PROGRESS not in [path for path, _ in requests]


def test_a_lost_connection_is_found_again(page, site, expect, let_time_pass):
    site.let_pass(10)
    start_named(page, "gated")
    expect(get_bar(page)).to_have_attribute("value", re.compile("8|9|10"))
    page.context.set_offline(True)
    with page.expect_event("requestfailed"):
        let_time_pass(page, 1)
    site.let_pass(ROWS)
    page.context.set_offline(False)
    let_time_pass(page, 2)

    expect(page.locator("#content")).to_contain_text("Success")


def test_without_javascript_the_page_reloads(open_page, site, expect):
    site.let_pass(30)
    page = open_page(EXPORTS + "named/", java_script_enabled=False)
    export_id = start_named(page, "gated")
    # It is seen again when the browser has loaded the page once more.
    site.let_pass(ROWS)
    expect(page.locator("#content")).to_contain_text("Success")

    content = download(page, page.get_by_role("link", name="Download").click)
    assert content == site.read_file(export_id)


def test_named_exports_are_started_from_their_page(page, expect):
    expect(page.get_by_text("<b>Too</b> many")).to_be_visible()
    page.get_by_role("link", name="Flights and their delays").click()
    page.get_by_label("Since").fill("2014-01-01")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".errorlist")).to_contain_text("All flights are of 2013.")
    page.get_by_label("Since").fill("2013-01-01")
    page.get_by_role("button", name="Start").click()

    wait_for_state(page, "success")
    expect(page.locator("#content")).to_contain_text("Success")
    content = download(page, page.get_by_role("link", name="Download").click)
    assert content.count(b"\r\n") == 44

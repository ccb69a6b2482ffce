"""From a change list to a file: which rows, which columns, in which order."""

from __future__ import annotations

import csv
import re
from urllib.parse import parse_qs

import pytest

from pages.admin.steps import (
    AIRPORTS,
    EXPORTS,
    FLIGHTS,
    LAST,
    add_column,
    download,
    get_chosen,
    get_id,
    get_rows,
    make_csv,
    remove_columns,
    run_action,
    tab_to,
    wait_for_state,
)
from pages.admin.trial import ROWS

FOUND = "Flight.objects.filter(origin='LGA', airline='UA', destination='LAX')"


@pytest.fixture
def flights(open_page, expect):
    """The change list of the flights, filtered, searched and sorted as staff do it."""
    page = open_page(FLIGHTS)
    page.get_by_role("link", name="LGA La Guardia", exact=True).click()
    page.get_by_role("link", name='Ünited, "Air"').first.click()
    page.locator("#searchbar").fill("LAX")
    page.locator("#searchbar").press("Enter")
    page.locator("#result_list th.column-number a").last.click()
    expect(page.locator(".paginator")).to_contain_text("8 flights")
    return page


def start(page):
    page.get_by_role("button", name="Export", exact=True).click()


def choose_all_rows(page):
    page.get_by_role("checkbox", name="Select all").check()
    run_action(page, "Export selected flights")


def test_ticked_rows_are_exported(flights, site, expect):
    for place in (2, 4):
        get_rows(flights).nth(place - 1).get_by_role("checkbox").check()
    run_action(flights, "Export selected flights")
    expect(flights.locator("#content")).to_contain_text("2 selected flights")
    content = download(flights, lambda: start(flights))
    news = flights.get_by_role("status").filter(has_text="The download begins when the file is")
    expect(news.get_by_role("link", name="exports")).to_have_attribute("href", EXPORTS)

    rows = site.ask(f"[*{FOUND}.order_by('number').values_list('number', 'distance')]")
    lines = csv.reader(content.decode().splitlines()[1:])
    assert [line[2] for line in lines] == [str(rows[place - 1][0]) for place in (2, 4)]


def test_all_that_match_are_exported_as_csv_would_write_them(flights, site, expect):
    choose_all_rows(flights)
    expect(flights.locator("#content")).to_contain_text("8 selected flights")
    names = ["number", "airline__name", "speed"]
    remove_columns(flights)
    for name in names:
        add_column(flights, name)
    assert get_chosen(flights) == names
    flights.locator("[name=headers][value=names]").check()
    content = download(flights, lambda: start(flights))

    speed = "__import__('flights.reports').reports.SPEED"
    query = f"{FOUND}.annotate(speed={speed}).order_by('number').values_list(*{names})"
    rows = site.ask(f"[*{query}]")
    assert len(rows) == 8
    assert content == make_csv(names, rows)
    assert rows[0][1] == 'Ünited, "Air"'


def test_a_large_export_is_watched_and_downloaded(open_page, site, expect):
    page = open_page(AIRPORTS)
    page.get_by_role("checkbox", name="Select all").check()
    page.get_by_role("button", name="Select all 104 airports").click()
    run_action(page, "Export selected airports")
    expect(page.locator("#content")).to_contain_text("All 104 airports")
    add_column(page, "row")
    site.let_pass(30)
    start(page)
    page.wait_for_url(LAST)
    expect(page.get_by_role("progressbar")).to_have_attribute("value", re.compile("2[789]|30"))
    site.let_pass(ROWS)
    wait_for_state(page, "success")
    content = download(page, page.get_by_role("link", name="Download").click)

    assert content == site.read_file(get_id(page))
    query = "[*Airport.objects.order_by('-faa').values_list('faa', 'altitude')]"
    lines = content.decode().splitlines()[1:]
    found = [(line.split(",")[0], line.rsplit(",", 1)[1]) for line in lines]
    assert sorted(found) == sorted((faa, str(row or "")) for faa, row in site.ask(query))


def test_one_can_go_back_from_the_progress_to_the_columns(open_page, expect):
    page = open_page(AIRPORTS)
    page.get_by_role("checkbox", name="Select all").check()
    page.get_by_role("button", name="Select all 104 airports").click()
    run_action(page, "Export selected airports")
    add_column(page, "row")
    start(page)
    page.wait_for_url(LAST)
    page.go_back()
    expect(page.locator("#content")).to_contain_text("All 104 airports")
    assert "row" in get_chosen(page)
    start(page)
    page.wait_for_url(LAST)


def test_columns_are_chosen_by_mouse(flights, expect):
    choose_all_rows(flights)
    status = flights.locator("#column-picker").get_by_role("status")
    before = get_chosen(flights)
    assert before[:3] == ["date", "airline__name", "number"]
    assert before[-1] == "speed"

    flights.get_by_label("Find columns").fill("origin altitude")
    picker = flights.locator("#column-picker")
    expect(picker.get_by_role("checkbox")).to_have_count(1)
    expect(picker.get_by_text("the order of the columns cannot be changed")).to_be_hidden()
    nothing = picker.get_by_text("No column matches.")
    expect(nothing).to_be_hidden()
    flights.get_by_label("Find columns").fill("no such column")
    expect(nothing).to_be_visible()
    expect(status).to_have_text("Columns found: 0")
    flights.get_by_label("Find columns").fill("origin altitude")
    expect(nothing).to_be_hidden()
    add_column(flights, "origin__altitude")
    assert get_chosen(flights) == [*before, "origin__altitude"]
    expect(status).to_contain_text(f"added as {len(before) + 1} of {len(before) + 1}")
    up = flights.get_by_role("button", name="Move Date up")
    expect(up).to_be_disabled()
    flights.get_by_role("button", name="Move Date down").click()
    expect(up).to_be_enabled()
    assert get_chosen(flights)[:2] == ["airline__name", "date"]
    expect(status).to_contain_text(f"moved to 2 of {len(before) + 1}")
    flights.get_by_role("button", name="Move Flight number up").click()
    assert get_chosen(flights)[:3] == ["airline__name", "number", "date"]
    flights.get_by_role("button", name="Remove Date").click()
    assert get_chosen(flights) == ["airline__name", *before[2:], "origin__altitude"]


def test_columns_are_chosen_by_keyboard_alone(flights, site, expect):
    choose_all_rows(flights)
    remove_columns(flights)
    assert get_chosen(flights) == []
    press = flights.keyboard.press
    search = flights.get_by_label("Find columns")
    tab_to(flights, search, key="Shift+Tab")
    for words, path in (("number", "number"), ("airline name", "airline__name")):
        search.press("Control+a")
        flights.keyboard.type(words)
        tab_to(flights, flights.locator(f"input[value={path}][type=checkbox]"))
        press("Space")
        tab_to(flights, search, key="Shift+Tab")
    assert get_chosen(flights) == ["number", "airline__name"]

    tab_to(flights, flights.get_by_role("button", name=re.compile("Remove .*irline")))
    press("Alt+ArrowUp")
    assert get_chosen(flights) == ["airline__name", "number"]
    expect(flights.get_by_role("button", name=re.compile("Remove .*irline"))).to_be_focused()
    press("Alt+ArrowUp")
    assert get_chosen(flights) == ["airline__name", "number"]
    tab_to(flights, flights.get_by_role("button", name="Export", exact=True))
    content = download(flights, lambda: press("Enter"))
    assert content.count(b"\r\n") == 9
    assert content.splitlines()[1].startswith('"Ünited, ""Air""",'.encode())


def test_columns_are_remembered(flights, open_page, expect):
    choose_all_rows(flights)
    remove_columns(flights)
    for path in ("distance", "date"):
        add_column(flights, path)
    flights.locator("[name=headers][value=names]").check()
    content = download(flights, lambda: start(flights))
    assert content.startswith(b"distance,date\r\n")

    page = open_page(FLIGHTS)
    choose_all_rows(page)
    assert get_chosen(page) == ["distance", "date"]
    expect(page.locator("[name=headers][value=names]")).to_be_checked()


def test_headers_are_names_as_on_the_page(flights):
    choose_all_rows(flights)
    remove_columns(flights)
    add_column(flights, "arrival_delay")
    flights.locator("[name=headers][value=verbose]").check()
    content = download(flights, lambda: start(flights))

    assert content.splitlines()[0].lower() == b"arrival delay (min)"


def test_a_page_without_columns_says_so(flights, expect):
    choose_all_rows(flights)
    remove_columns(flights)
    start(flights)

    expect(flights.locator(".errorlist")).to_contain_text("Choose at least one column.")


def test_without_javascript_the_whole_way_works(open_page, site, expect):
    page = open_page(FLIGHTS + "?origin__faa__exact=LGA", java_script_enabled=False)
    for place in (1, 2, 3):
        get_rows(page).nth(place - 1).get_by_role("checkbox").check()
    run_action(page, "Export selected flights")
    expect(page.locator("#content")).to_contain_text("3 selected flights")
    expect(page.get_by_text("the order of the columns cannot be changed")).to_be_visible()
    page.locator("input[type=checkbox][value=distance]").check()
    content = download(page, lambda: start(page))

    assert content.count(b"\r\n") == 4
    assert b"distance" in content.splitlines()[0].lower()
    page.goto(EXPORTS)
    expect(get_rows(page).nth(0)).to_contain_text("Success")


def test_the_columns_are_sent_in_one_field(flights):
    """A server takes no more fields than a thousand."""
    choose_all_rows(flights)
    chosen = get_chosen(flights)
    with flights.expect_request(lambda request: request.method == "POST") as sent:
        download(flights, lambda: start(flights))
    fields = parse_qs(sent.value.post_data)
    assert fields["paths"] == [" ".join(chosen)]
    assert "columns" not in fields

"""Each page, light and dark, wide and narrow: what axe-core finds, and whether it fits."""

from __future__ import annotations

import os
import re

import pytest

from pages.admin.steps import EXPORTS, start_named, wait_for_state

# Each width and each theme; a thorough run takes all pairs of them.
VIEWS = [(1280, "light"), (390, "dark"), (1280, "dark"), (390, "light")]
if os.environ["EXPORTER_TEST_LEVEL"] != "thorough":
    VIEWS = VIEWS[:2]
IMPACTS = ("serious", "critical")
# A theme's colours are there at once.
WITHOUT_TRANSITIONS = """
document.addEventListener("DOMContentLoaded", () => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync("* { transition: none !important; animation: none !important; }");
    document.adoptedStyleSheets.push(sheet);
});
"""
# Pages of Django alone. Links in its breadcrumbs, and the one behind a search, differ too little
# from the text around them if that is longer than they are.
DJANGO_PAGES = ("/admin/flights/airline/ZZ/change/", "/admin/flights/airport/?q=LGA")


@pytest.fixture(scope="module")
def axe():
    return pytest.importorskip("axe_playwright_python.sync_playwright").Axe()


@pytest.fixture
def page(open_page):
    # axe-core adds styles, which the policy of the pages forbids.
    page = open_page("/admin/", user="boss", bypass_csp=True)
    page.add_init_script(WITHOUT_TRANSITIONS)
    return page


def find_faults(page, axe):
    """Return the serious findings, each as its rule, where it is, and the element."""
    return {
        (violation["id"], re.sub(r"\[href[^]]*\]", "", str(node["target"])), node["html"])
        for violation in axe.run(page).response["violations"]
        if violation["impact"] in IMPACTS
        for node in violation["nodes"]
    }


def find_all_faults(page, axe):
    """Return the findings of the page in all themes and widths, and where it is too wide."""
    found = set()
    for width, theme in VIEWS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=theme)
        found |= find_faults(page, axe)
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.add(("overflow", str(width), page.url))
    return found


@pytest.fixture(scope="module")
def djangos_faults():
    """What is found on Django's own pages, once they have been looked at."""
    return {}


@pytest.fixture
def check(page, axe, djangos_faults):
    """Look at a page, and demand that it has no fault but those that Django's own have."""
    if not djangos_faults:
        for path in DJANGO_PAGES:
            page.goto(path)
            djangos_faults[path] = find_all_faults(page, axe)

    def check():
        known = set().union(*djangos_faults.values())
        places = {fault[:2] for fault in known}
        elements = {(rule, element) for rule, _, element in known}
        assert {
            (rule, place, element)
            for rule, place, element in find_all_faults(page, axe)
            if (rule, place) not in places and (rule, element) not in elements
        } == set()

    return check


def test_axe_finds_what_is_wrong(page, axe):
    page.goto(EXPORTS)
    page.evaluate("document.querySelector('#content').append(document.createElement('img'))")

    assert {rule for rule, _, _ in find_faults(page, axe)} >= {"image-alt"}


def test_an_empty_list(page, check):
    page.goto(EXPORTS)
    check()


def test_an_export_at_work_and_ended_and_the_list(page, site, expect, check):
    site.let_pass(40)
    export_id = start_named(page, "gated")
    url = page.url
    wait_for_state(page, "processing")
    expect(page.get_by_role("progressbar")).to_have_attribute("value", re.compile("39|40"))
    check()
    page.goto(EXPORTS)
    check()
    site.let_pass(100)
    page.goto(url)
    wait_for_state(page, "success")
    check()
    page.goto(f"{EXPORTS}?q={export_id}")
    check()


def test_a_failed_export(page, check):
    start_named(page, "weather-now")
    wait_for_state(page, "fail")
    for details in page.locator("#content details").all():
        details.evaluate("element => element.open = true")
    check()


def test_a_scheduled_export(page, site, check):
    code = "from django_infra.exporter.export import schedule_export as s; print(s('gated').pk)"
    page.goto(f"{EXPORTS}{site.execute(code).strip()}/change/")
    check()


def test_the_column_picker(page, check):
    page.goto(f"{EXPORTS}change-list/flights/flight/?origin__faa__exact=LGA")
    page.get_by_role("heading", name="Columns of the file, in order").wait_for()
    for details in page.locator("#column-picker details").all():
        details.evaluate("element => element.open = true")
    check()
    page.get_by_role("button", name="Export", exact=True).focus()
    page.get_by_label("Find columns").fill("airline")
    check()


def test_the_named_exports(page, check):
    page.goto(EXPORTS + "named/")
    check()
    page.goto(EXPORTS + "named/punctuality/")
    check()
    page.get_by_label("Since").fill("2014-01-01")
    page.get_by_role("button", name="Start").click()
    page.get_by_text("All flights are of 2013.").wait_for()
    check()


def test_the_confirmation_of_a_deletion(page, check):
    start_named(page, "failing")
    wait_for_state(page, "fail")
    page.goto(page.url.replace("/change/", "/delete/"))
    check()


def test_pages_fit_a_phone_from_right_to_left(page, open_page):
    start_named(page, "weather-now")
    page = open_page(page.url, user="boss", locale="ar", viewport={"width": 390, "height": 844})
    paths = ("", "named/", "named/punctuality/", "change-list/flights/flight/")
    for url in [page.url, *(EXPORTS + path for path in paths)]:
        page.goto(url)
        assert page.locator("html").get_attribute("dir") == "rtl"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390

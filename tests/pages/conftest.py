from __future__ import annotations

import pytest

from browsers import ARGUMENTS, TIMEOUT, need_browser


@pytest.fixture(scope="package")
def chromium():
    """Start the browser, once for all pages.

    While it runs, its event loop keeps tests from Django's database, and so it ends with the pages.
    """
    path = need_browser()
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=TIMEOUT * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def let_time_pass():
    """Let so many seconds pass in a page that was opened with a clock of its own."""

    def pass_time(page, seconds):
        page.clock.run_for(1000 * seconds)
        # What the timers have begun is known when the page answers.
        page.evaluate("0")

    return pass_time


@pytest.fixture
def expect(chromium):
    from playwright.sync_api import expect

    return expect

"""The page of the demo, used in a browser, while the demo's server runs."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from browsers import TIMEOUT
from sites import DEMO, FEW_FLIGHTS, Problems, Site

SCRIPT = DEMO / "flights/static/flights/exports.js"
PAGE = DEMO / "flights/templates/flights/exports.html"
DOCS = DEMO.parent / "docs/browser-client.md"

pytestmark = pytest.mark.external

ROWS = 100
MARKUP = "<img src=/x onerror=alert(1)> & <b>more</b>"

SETTINGS = """
from project.settings import *
INSTALLED_APPS = [*INSTALLED_APPS, "trial"]
EXPORTER_CHUNK_SIZE = 1
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
"""

# An export that waits at the row whose number the file names, and one that cannot end well.
EXPORTS = f"""
import os, time
from pathlib import Path
from django import forms
from django.db.backends.signals import connection_created
from django.db.models import Func, IntegerField
from django_infra.exporter.jobs import progress, worker
from django_infra.exporter.registry import register
from flights.models import Airport

progress.INTERVAL = worker.INTERVAL = 0.1

def wait(row):
    while int(Path(os.environ["TRIAL_GATE"]).read_text()) < row:
        time.sleep(0.02)
    return row

def add_function(connection, **kwargs):
    connection.connection.create_function("wait", 1, wait)

connection_created.connect(add_function)

class Form(forms.Form):
    word = forms.CharField(label={MARKUP!r}, initial="same")
    again = forms.CharField(initial="same")
    several = forms.MultipleChoiceField(choices=[(1, "one"), (2, "two")], required=False)
    is_sure = forms.BooleanField(required=False, initial=True)

    def clean(self):
        super().clean()
        if self.cleaned_data.get("word") != self.cleaned_data.get("again"):
            raise forms.ValidationError({MARKUP!r})

@register("gated", permission=None, form_class=Form, values=["faa", "row"], verbose_name={MARKUP!r})
def gated(params, user):
    row = Func("altitude", function="wait", output_field=IntegerField())
    return Airport.objects.filter(altitude__gt=0).annotate(row=row).order_by("faa")

@register("failing", permission=None, values=["faa"], max_rows=1)
def failing(params, user):
    return Airport.objects.order_by("faa")
"""

DATA = f"""
{FEW_FLIGHTS}
from django.contrib.auth.models import Permission, User
user = User.objects.create_user("ada", password="secret")
user.user_permissions.add(Permission.objects.get(codename="view_flight"))
Airport.objects.bulk_create(
    Airport(faa=f"{{row:03}}", altitude=row) for row in range(1, {ROWS + 1})
)
"""


@pytest.fixture(scope="module")
def site(chromium, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    modules = {"exports": EXPORTS}
    with Site(folder, settings=SETTINGS, modules=modules, data=DATA, rows=ROWS) as site:
        yield site


@pytest.fixture
def page(chromium, site):
    site.let_pass(ROWS)
    context = chromium.new_context(base_url=site.url)
    context.set_default_timeout(TIMEOUT * 1000)
    page = context.new_page()
    page.clock.install()
    page.problems = Problems(page)
    page.goto("/")
    log_in(page)
    yield page
    site.let_pass(ROWS)
    context.close()
    assert page.problems == []


def log_in(page):
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill("secret")
    page.get_by_role("button", name="Log in").click()


@pytest.fixture
def watch(expect, let_time_pass):
    """Let time pass in the page until the element has, or contains, what is expected."""

    def watch(page, element, *, value=None, text=None):
        for _ in range(100):
            with suppress(AssertionError):
                if value:
                    return expect(element).to_have_attribute("value", value, timeout=200)
                return expect(element).to_contain_text(text, timeout=200)
            let_time_pass(page, 5)
        raise AssertionError(f"{element} did not show {value or text}.")

    return watch


def start(page, name):
    page.get_by_label("What to export").select_option(value=name)
    page.get_by_role("button", name="csv").click()


def test_the_documentation_holds_the_script_and_the_page():
    for path, language in ((SCRIPT, "js"), (PAGE, "html")):
        assert f"```{language}\n{path.read_text()}```\n" in DOCS.read_text()


def test_the_script_is_short():
    lines = SCRIPT.read_text().splitlines()

    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100


def test_an_export_is_watched_across_a_reload_and_downloaded(page, site, expect, watch):
    site.let_pass(30)
    start(page, "gated")
    watch(page, page.locator("#state"), text="In progress.")
    watch(page, page.get_by_role("progressbar"), value=re.compile("2[89]|30"))
    expect(page.locator("#facts")).to_contain_text(re.compile(r"(28|29|30) %\s+(28|29|30) rows"))

    page.reload()
    expect(page.get_by_role("progressbar")).to_have_attribute("value", re.compile("2[89]|30"))
    site.let_pass(70)
    watch(page, page.get_by_role("progressbar"), value=re.compile("6[89]|70"))
    expect(page.locator("#facts")).to_contain_text("seconds left")
    expect(page.get_by_role("link", name="Download")).to_be_hidden()
    site.let_pass(ROWS)
    watch(page, page.locator("#state"), text="Done.")
    expect(page.locator("#facts")).to_contain_text("100 rows")
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()

    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    content = Path(download.value.path()).read_bytes()
    assert content == site.read_file(urlsplit(page.url).fragment)
    assert content.count(b"\r\n") == ROWS + 1


def test_an_export_is_cancelled(page, site, expect, watch):
    site.let_pass(10)
    start(page, "gated")
    watch(page, page.locator("#state"), text="In progress.")
    page.get_by_role("button", name="Cancel").click()

    watch(page, page.locator("#state"), text="Failed.")
    expect(page.locator("#facts")).to_contain_text("The export was cancelled.")
    expect(page.get_by_role("progressbar")).to_be_hidden()


def test_a_failure_is_shown(page, expect, watch):
    start(page, "failing")

    watch(page, page.locator("#state"), text="Failed.")
    expect(page.locator("#facts")).to_contain_text("The export is larger than allowed.")
    expect(page.get_by_role("link", name="Download")).to_be_hidden()


def test_a_wrong_parameter_is_told_at_its_field(page, expect, watch):
    page.get_by_label("What to export").select_option(value="punctuality")
    since = page.get_by_label("Since")
    since.fill("2014-01-01")
    since.press("Enter")

    expect(page.locator("label", has_text="Since")).to_contain_text("All flights are of 2013.")
    expect(since).to_be_focused()
    expect(page.locator("#error")).to_be_empty()
    page.problems.remove("400 POST /api/exports/")

    since.fill("2013-01-01")
    since.press("Enter")
    watch(page, page.locator("#state"), text="Done.")
    expect(page.locator("label", has_text="Since")).not_to_contain_text("All flights")


def test_texts_are_never_markup(page, expect):
    page.get_by_label("What to export").select_option(value="gated")
    expect(page.get_by_label("What to export").locator("option:checked")).to_have_text(MARKUP)
    page.get_by_role("textbox", name=MARKUP).fill("other")
    page.get_by_role("button", name="csv").click()

    expect(page.get_by_role("alert")).to_have_text(MARKUP)
    expect(page.locator("img, b")).to_have_count(0)
    page.problems.remove("400 POST /api/exports/")


def test_parameters_arrive(page, watch):
    page.get_by_label("What to export").select_option(value="gated")
    page.get_by_label("several").select_option(["1", "2"])
    with page.expect_request(lambda request: request.method == "POST") as request:
        page.get_by_role("button", name="csv").click()

    assert request.value.post_data_json == {
        "name": "gated",
        "format": "csv",
        "params": {"word": ["same"], "again": ["same"], "several": ["1", "2"], "is_sure": ["on"]},
    }
    watch(page, page.locator("#state"), text="Done.")


def test_an_expired_session_is_told_and_the_export_found_again(page, site, expect, watch):
    site.let_pass(10)
    start(page, "gated")
    watch(page, page.locator("#state"), text="In progress.")
    page.context.clear_cookies()

    watch(page, page.locator("#state"), text="reload this page")
    page.problems.remove("403 GET /api/exports/{id}/")
    page.get_by_role("button", name="csv").click()
    expect(page.get_by_role("alert")).to_contain_text("reload this page")
    page.problems.remove("403 POST /api/exports/")
    page.reload()
    log_in(page)
    expect(page.locator("#state")).to_have_text("In progress.")


def test_a_lost_connection_is_told_and_found_again(page, site, expect, watch):
    site.let_pass(10)
    start(page, "gated")
    watch(page, page.locator("#state"), text="In progress.")
    page.context.set_offline(True)
    watch(page, page.locator("#state"), text="cannot be reached")
    expect(page.locator("#state")).to_contain_text(re.compile(r"next try: \d+$"))
    page.context.set_offline(False)

    watch(page, page.locator("#state"), text="In progress.")


def test_a_hidden_page_asks_nothing(page, site, watch, let_time_pass):
    page.add_init_script("Object.defineProperty(document, 'hidden', { get: () => window.isAway })")
    page.reload()
    site.let_pass(10)
    start(page, "gated")
    watch(page, page.locator("#state"), text="In progress.")
    turn = "(it) => { window.isAway = it; document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(turn, True)
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    let_time_pass(page, 120)
    assert requests == []

    with page.expect_request("**/api/exports/*/"):
        page.evaluate(turn, False)


def test_an_unknown_export_is_told(page, expect):
    page.goto("/#Flight-none")

    expect(page.locator("#state")).not_to_be_empty()
    page.problems.remove("404 GET /api/exports/Flight-none/")
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()


def test_the_page_keeps_to_its_policy_and_fits_a_phone(page, site):
    page.set_viewport_size({"width": 390, "height": 800})
    response = page.goto("/")

    assert "default-src 'self'" in response.headers["content-security-policy"]
    assert "<style" not in response.text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

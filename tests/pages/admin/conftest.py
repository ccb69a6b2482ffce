from __future__ import annotations

import json

import pytest

from browsers import TIMEOUT
from pages.admin import trial
from sites import Problems, Site


class AdminSite(Site):
    def prepare(self):
        super().prepare()
        self.sessions = json.loads(self.execute(trial.SESSIONS))

    def ask(self, expression):
        """Return what the expression, which gives JSON, is beside the server."""
        code = (
            "import json\n"
            "from django.core.serializers.json import DjangoJSONEncoder as Encoder\n"
            f"print(json.dumps({expression}, cls=Encoder))"
        )
        return json.loads(self.execute(code))


@pytest.fixture(scope="session")
def started_site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    site = AdminSite(
        folder,
        settings=trial.SETTINGS,
        modules=trial.MODULES,
        data=trial.DATA,
        rows=trial.ROWS,
    )
    with site:
        yield site


@pytest.fixture
def site(started_site):
    """Give each test the site without the exports of other tests."""
    started_site.let_pass(trial.ROWS)
    started_site.execute("QueryExport.objects.all().delete()")
    yield started_site
    started_site.let_pass(trial.ROWS)


@pytest.fixture
def open_page(chromium, site):
    """Open a page as a user who is logged in; at the end nothing may have gone wrong in it."""
    contexts, pages = [], []

    def open_page(path, *, user="ada", context=None, has_clock=False, **options):
        if context is None:
            context = chromium.new_context(base_url=site.url, **options)
            context.set_default_timeout(TIMEOUT * 1000)
            cookie = {"name": "sessionid", "value": site.sessions[user], "url": site.url}
            context.add_cookies([cookie])
            contexts.append(context)
        page = context.new_page()
        if has_clock:
            page.clock.install()
        page.problems = Problems(page)
        pages.append(page)
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [page.problems for page in pages] == [[]] * len(pages)

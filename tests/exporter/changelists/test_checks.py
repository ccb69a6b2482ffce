from __future__ import annotations

from types import ModuleType

import pytest
from django.contrib import admin
from django.contrib.admin.sites import all_sites
from django.core.checks import run_checks
from django.urls import path

from django_infra.exporter.admin import QueryExportAdmin, export_selected
from django_infra.exporter.changelists.requests import ChangeListRequest
from django_infra.exporter.models import QueryExport
from testapp.models import Author, Book

# Checks of other apps ask the database what it can do.
pytestmark = pytest.mark.django_db(databases=["default", "other"])


class OwnRequest(ChangeListRequest):
    pass


def find_messages():
    return [message for message in run_checks() if (message.id or "").startswith("exporter.")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_DIRECT_ROWS", 0),
        ("MAX_DIRECT_ROWS", 10**9),
        ("RELATED_DEPTH", 0),
        ("RELATED_DEPTH", 5),
        ("REQUEST", None),
        ("REQUEST", f"{__name__}.OwnRequest"),
    ],
)
def test_what_can_be_used_passes(settings, name, value):
    setattr(settings, f"EXPORTER_ADMIN_{name}", value)
    assert find_messages() == []


@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        ("MAX_DIRECT_ROWS", -1, "E012"),
        ("MAX_DIRECT_ROWS", True, "E012"),
        ("MAX_DIRECT_ROWS", "10", "E012"),
        ("MAX_DIRECT_ROWS", None, "E012"),
        ("RELATED_DEPTH", -1, "E013"),
        ("RELATED_DEPTH", 6, "E013"),
        ("RELATED_DEPTH", 1.5, "E013"),
        ("REQUEST", "nope", "E014"),
        ("REQUEST", "nope.Nope", "E014"),
        ("REQUEST", "django.http.HttpRequest", "E014"),
        ("REQUEST", "", "E014"),
        ("REQUEST", OwnRequest, "E014"),
    ],
)
def test_what_cannot_be_used_is_told(settings, name, value, number):
    setattr(settings, f"EXPORTER_ADMIN_{name}", value)
    (message,) = find_messages()
    assert message.id == f"exporter.{number}"
    assert message.msg.startswith(f"EXPORTER_ADMIN_{name} is {value!r}, ")
    assert message.hint


class YieldingRequest(ChangeListRequest):
    def restore(self, request, captured):
        yield


def test_a_restore_that_only_yields_is_told(settings):
    settings.EXPORTER_ADMIN_REQUEST = f"{__name__}.YieldingRequest"
    (message,) = find_messages()
    assert message.id == "exporter.E014"
    assert "decorate it with @contextmanager" in message.msg


@pytest.mark.parametrize("names", [[], ["app.tenant"], ("@tenant", "statement_timeout")])
def test_names_of_session_settings_pass(settings, names):
    settings.EXPORTER_SESSION_SETTINGS = names
    assert find_messages() == []


@pytest.mark.parametrize("names", [None, "app.tenant", {"a": 1}, [1], ["a b"], ["@"], ["a;"]])
def test_what_names_no_session_settings_is_told(settings, names):
    settings.EXPORTER_SESSION_SETTINGS = names
    (message,) = find_messages()
    assert message.id == "exporter.E020"
    assert message.msg.startswith(f"EXPORTER_SESSION_SETTINGS is {names!r}, ")
    assert message.hint


class ExportingAdmin(admin.ModelAdmin):
    actions = [export_selected]


def find_messages_of(site, settings):
    """Return those of a project that serves the site."""
    settings.ROOT_URLCONF = ModuleType("urls_of_checks")
    settings.ROOT_URLCONF.urlpatterns = [path("own/", site.urls)]
    return find_messages()


def offer_on_the_site(site):
    site.add_action(export_selected, "save")
    site.register(Author)


def offer_on_the_model(site):
    site.register(Author, ExportingAdmin)


@pytest.mark.parametrize("offer", [offer_on_the_site, offer_on_the_model])
def test_a_site_that_offers_exports_needs_their_pages(settings, offer):
    offer(site := admin.AdminSite("own"))
    (message,) = find_messages_of(site, settings)
    assert message.id == "exporter.W003"
    assert message.msg.startswith("The admin site 'own' offers the action export_selected, ")
    assert "'testapp.Author'" in message.msg
    assert message.hint == "site.register(QueryExport, QueryExportAdmin) adds them."
    site.register(QueryExport, QueryExportAdmin)
    assert find_messages_of(site, settings) == []


def test_a_site_that_offers_none_needs_no_pages(settings):
    site = admin.AdminSite("own")
    site.register(Author)
    assert find_messages_of(site, settings) == []


def test_a_site_without_urls_offers_nothing(settings):
    # Held here: Django forgets sites that nobody holds.
    offer_on_the_model(site := admin.AdminSite("own"))
    assert site in all_sites
    assert find_messages() == []
    settings.ROOT_URLCONF = None
    assert find_messages() == []


# Who waits


def test_an_export_within_the_request_for_want_of_a_runner_is_a_warning(settings):
    del settings.EXPORTER_RUNNER
    (message,) = find_messages()
    assert message.id == "exporter.W011"
    assert message.msg.startswith("EXPORTER_RUNNER is not set, so that the action export_selected")
    assert "'testapp." in message.msg
    assert "InlineRunner" in message.hint


def test_a_runner_that_somebody_has_chosen_passes(settings):
    for name in ("testapp.runners.BoxRunner", "django_infra.exporter.runners.inline.InlineRunner"):
        settings.EXPORTER_RUNNER = {"BACKEND": name}
        assert find_messages() == []


def test_a_project_whose_admin_exports_nothing_needs_no_runner(settings):
    del settings.EXPORTER_RUNNER
    settings.ROOT_URLCONF = "exporter.changelists.test_checks"
    assert find_messages() == []


urlpatterns = []


@pytest.mark.parametrize("is_inline", [False, True])
def test_what_is_said_of_all_rows_is_yes_or_no(settings, monkeypatch, is_inline):
    inline = type("Inline", (admin.TabularInline,), {"model": Book})
    kind = type("Own", (admin.ModelAdmin,), {"inlines": [inline]})
    site = admin.AdminSite("own")
    site.register(Author, kind)
    said = (inline if is_inline else kind), "export_same_for_all_rows"
    monkeypatch.setattr(*said, True, raising=False)
    assert find_messages_of(site, settings) == []
    monkeypatch.setattr(*said, "yes")
    (message,) = find_messages_of(site, settings)
    assert message.id == "exporter.E030"
    assert message.msg.endswith(".export_same_for_all_rows is 'yes', but must be True or False.")
    assert message.hint

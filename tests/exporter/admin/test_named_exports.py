from __future__ import annotations

import re

import pytest
from django import forms
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils.safestring import mark_safe

from django_infra.exporter.models import QueryExport
from django_infra.exporter.registry import registry
from testapp.models import Author, Publisher

pytestmark = pytest.mark.django_db

# What is handed over after the commit is to run.
with_commits = pytest.mark.django_db(transaction=True)

LIST = "/admin/exporter/queryexport/named/"
PAGE = f"{LIST}authors/"
FORMAT = {"_start-format": "csv"}


@pytest.fixture
def staff(author_staff):
    return author_staff


@pytest.fixture
def declare(monkeypatch):
    """Register an export for the test alone."""

    def declare(name, **attributes):
        monkeypatch.setattr(registry, "exports", [*registry.exports])
        defaults = {"permission": None, "values": ["id"]}
        registry.register(name, **defaults | attributes)(lambda params, user: Author.objects.all())

    return declare


def get_content(response):
    return response.content.decode().partition('id="content-main"')[2]


# List


def test_the_list_has_what_the_user_may_run(client, staff, declare):
    declare("described", verbose_name="All <b>", description="Each & every\none", formats=["csv"])
    content = get_content(client.get(LIST))
    assert re.findall(rf'href="{LIST}([^"]+)/"', content) == [
        "authors",
        "described",
        "own-books",
        "stalling-authors",
    ]
    assert "All &lt;b&gt;" in content
    assert "Each &amp; every<br>one" in content
    assert "CSV" in content


def test_the_list_has_not_what_the_user_may_not_run(client, staff):
    staff.user_permissions.clear()
    assert PAGE not in get_content(client.get(LIST))


def test_an_empty_list_says_so(client, staff, monkeypatch):
    monkeypatch.setattr(registry, "exports", [])
    assert "There is no export that you may start here." in get_content(client.get(LIST))


# Page


def test_the_page_has_the_form_of_the_export(client, staff):
    Publisher.objects.create(name="Allen")
    response = client.get(PAGE)
    assert response.status_code == 200
    content = get_content(response)
    for name in ("name", "born_since", "publishers", "padding", "seconds", "_start-format"):
        assert f'name="{name}"' in content
    assert 'class="vDateField"' in content
    assert 'class="vTextField"' in content
    assert "Allen" in content
    assert "admin/js/core.js" in response.content.decode()
    assert "admin/js/calendar.js" in response.content.decode()


@pytest.mark.parametrize("may_view", [True, False])
def test_breadcrumbs_lead_through_pages_that_the_user_may_see(client, staff, may_view):
    if may_view:
        staff.user_permissions.add(Permission.objects.get(codename="view_queryexport"))
    content = client.get(PAGE).content.decode()
    trail = re.search(r'class="breadcrumbs">(.*?)</(?:ol|div)>', content, re.DOTALL)[1]
    parents = ["/admin/exporter/", "/admin/exporter/queryexport/"] if may_view else []
    assert re.findall('href="([^"]*)"', trail) == ["/admin/", *parents, LIST]
    words = re.sub("<[^>]*>", " ", trail).split()
    assert (words[0], words[-1]) == ("Home", "Authors")


def test_an_export_without_parameters_has_a_page(client, staff):
    content = get_content(client.get(f"{LIST}own-books/"))
    assert 'name="_start-format"' in content
    assert client.post(f"{LIST}own-books/", FORMAT).status_code == 302


def test_markup_of_a_form_is_escaped(client, staff, declare):
    class MarkupForm(forms.Form):
        word = forms.CharField(label="<i>word</i>", help_text=mark_safe("<em>help</em>"))

    declare("markup", form_class=MarkupForm, verbose_name="<script>", description="<script>")
    content = get_content(client.get(f"{LIST}markup/"))
    assert "&lt;i&gt;word" in content
    assert "<em>help</em>" in content
    assert "&lt;script&gt;" in content
    assert "<script>" not in content


@with_commits
def test_an_export_starts_with_what_the_form_says(client, staff):
    allen, bloom = (Publisher.objects.create(name=name) for name in ("Allen", "Bloom"))
    for publisher in (allen, bloom, None):
        Author.objects.create(name="Ada", born="2000-01-01", publisher=publisher)
    Author.objects.create(name="Bea", born="2000-01-01", publisher=allen)
    keys = [str(allen.pk), str(bloom.pk)]
    data = {"name": "Ada", "born_since": "1999-12-31", "publishers": keys, "padding": "", **FORMAT}
    response = client.post(PAGE, {**data, "csrfmiddlewaretoken": "x"})
    export = QueryExport.objects.get()
    assert response.status_code == 302
    assert response.url == reverse("admin:exporter_queryexport_change", args=[export.pk])
    assert (export.state, export.row_count, export.created_by) == ("success", 2, staff)
    assert export.params["publishers"] == keys
    assert export.params.keys() == data.keys() - FORMAT.keys()
    assert b"The export has been started." in client.get(response.url).content


# Refusals


@with_commits
@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"padding": "many"}, "Enter a whole number."),
        ({"padding": "-1"}, "Ensure this value is greater than or equal to 0."),
        ({"padding": "9" * 5000}, "Enter a whole number."),
        ({"born_since": "\0"}, "Enter a valid date."),
        ({"name": "\0"}, "Null characters are not allowed."),
        ({"publishers": ["x"]}, "“x” is not a valid value."),
        ({"publishers": ["9" * 30]}, ""),
        ({"_start-format": "exe"}, "Select a valid choice."),
        ({"_start-format": ""}, "This field is required."),
        ({"colour": "red"}, "colour: Unknown parameter."),
        ({"name": ["Ada", "Bea"]}, "Give one value."),
    ],
)
def test_what_cannot_be_is_told_with_the_form(client, staff, data, message):
    response = client.post(PAGE, {"seconds": "1.25", **FORMAT, **data})
    assert response.status_code == 200
    content = get_content(response)
    assert message in content
    assert "Please correct the errors below." in content
    assert 'value="1.25"' in content
    assert not QueryExport.objects.exists()


def test_all_errors_are_told_at_once(client, staff):
    content = get_content(client.post(PAGE, {"padding": "x", "_start-format": "x"}))
    assert "Enter a whole number." in content
    assert "Select a valid choice." in content


def test_too_many_exports_are_told_with_the_form(client, staff, settings):
    settings.EXPORTER_MAX_ACTIVE_PER_USER = 1
    QueryExport.objects.schedule(
        model=Author, format="csv", storage_alias="default", created_by=staff
    )
    content = get_content(client.post(PAGE, FORMAT))
    assert "You have as many unfinished exports as you may have." in content


@with_commits
def test_a_worker_that_cannot_be_reached_is_told_with_the_form(client, staff, settings):
    settings.EXPORTER_RUNNER = {"BACKEND": "testapp.runners.BrokenRunner"}
    response = client.post(PAGE, {"name": "Ada", **FORMAT})
    assert "No worker can be reached." in get_content(response)
    assert 'value="Ada"' in get_content(response)


@pytest.mark.parametrize("name", ["none", "AUTHORS", "a'b", "%00", "x" * 500])
def test_an_unknown_export_is_missing(client, staff, name):
    assert client.get(f"{LIST}{name}/").status_code == 404
    assert client.post(f"{LIST}{name}/", FORMAT).status_code == 404


@pytest.mark.parametrize("name", ["authors", "admin-change-list"])
def test_an_export_that_the_user_may_not_run_is_refused(client, staff, name):
    staff.user_permissions.clear()
    assert client.get(f"{LIST}{name}/").status_code == 403
    assert client.post(f"{LIST}{name}/", FORMAT).status_code == 403
    assert not QueryExport.objects.exists()


@pytest.mark.parametrize("url", [LIST, PAGE])
def test_others_are_sent_to_the_login(client, staff, django_user_model, url):
    staff.is_staff = False
    staff.save()
    for response in (client.get(url), client.post(url, FORMAT)):
        assert response.status_code == 302
        assert response.url.startswith(reverse("admin:login"))
    assert not QueryExport.objects.exists()

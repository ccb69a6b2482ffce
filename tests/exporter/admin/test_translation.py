"""Read the pages in a language in which every message stands in brackets."""

from __future__ import annotations

import gettext
import re
from html.parser import HTMLParser

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import translation
from django.utils.translation import trans_real

from django_infra.exporter.models import ExportState
from exporter.admin.rows import DETAIL, LIST, make_export
from testapp.models import Author

pytestmark = pytest.mark.django_db

LANGUAGE = "zz"
SHOWN = {"alt", "aria-label", "placeholder", "title"}
# What is in no language: tags that hold none, and the texts of these tests.
SILENT = {"code", "noscript", "option", "pre", "script", "style", "title"}
DATA = re.compile(
    r"staff|[Aa]uthors?|Ada|ID|Email|Publishers?|[Bb]ooks|Shout|Name|No\.|Padding|Seconds|Born|since|"
    r"csv|CSV|ValueError|no|default|zz|UTC|(exports/)?Author-\w+-\w+(\.csv)?|name|a|testapp\.\w+|"
    r"own-books|stalling-authors|"
    # Django's own: a button, and months that it has translated on import.
    r"Search|(Jan|Feb|March|April|May|June|July|Aug|Sept|Oct|Nov|Dec)\.?"
)


class BracketTranslation(gettext.NullTranslations):
    """Put each message into brackets; what is already bracketed has come through."""

    def gettext(self, message):
        # The admin and Django's formats have settings among their messages.
        is_format = re.fullmatch(r"[A-Z_]+", message) or not message.strip()
        return message if is_format else f"⟦{message}⟧"

    def ngettext(self, singular, plural, number):
        return self.gettext(singular if number == 1 else plural)

    def pgettext(self, context, message):
        return self.gettext(message)

    def npgettext(self, context, singular, plural, number):
        return self.ngettext(singular, plural, number)

    def to_language(self):
        return LANGUAGE


class Texts(HTMLParser):
    """What a page shows or reads out within its content."""

    def __init__(self, html):
        super().__init__()
        self.found, self.stack, self.is_inside = [], [], False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.is_inside |= attributes.get("id") == "content"
        if tag not in ("br", "hr", "img", "input", "link", "meta"):
            self.stack.append(tag)
        keys = SHOWN | {key for key in attributes if key.startswith("data-text")}
        if attributes.get("type") == "submit":
            keys.add("value")
        for key in keys & attributes.keys():
            self.handle_data(attributes[key])

    def handle_endtag(self, tag):
        while self.stack and self.stack.pop() != tag:
            pass

    def handle_data(self, data):
        text = " ".join(data.split())
        if self.is_inside and text and not SILENT & {*self.stack}:
            self.found.append(text)


def find_untranslated(html):
    """Return the words outside of brackets that are no data; a message may have tags within."""
    text = " ".join(Texts(html).found)
    while (shorter := re.sub(r"⟦[^⟦⟧]*⟧", " ", text)) != text:
        text = shorter
    words = (word.strip("“”()[],:;·") for word in re.findall(r"[^\W\d]\S*", text))
    return [word for word in words if word and not DATA.fullmatch(word)]


@pytest.fixture
def bracketed(monkeypatch, client, staff):
    """Speak the language, to a user with all permissions."""
    monkeypatch.setitem(trans_real._translations, LANGUAGE, BracketTranslation())
    staff.user_permissions.set(Permission.objects.all())
    client.force_login(staff)
    with translation.override(LANGUAGE):
        yield client


def read(client, name, *args, **query):
    response = client.get(reverse(name, args=args), query)
    assert response.status_code == 200
    html = response.content.decode()
    assert "⟦" in html
    return html


@pytest.mark.parametrize("is_empty", [True, False])
def test_the_list_is_translated(bracketed, staff, is_empty):
    if not is_empty:
        for state in ExportState:
            make_export(state, created_by=staff)
    assert find_untranslated(read(bracketed, LIST)) == []


@pytest.mark.parametrize("state", ExportState)
def test_the_page_of_an_export_is_translated(bracketed, staff, state):
    columns = [{"name": None, "header": "Name"}]
    export = make_export(state, created_by=staff, columns=columns, params={"name": "a"})
    assert find_untranslated(read(bracketed, DETAIL, export.pk)) == []


@pytest.mark.parametrize("name", ["named", "start"])
def test_the_pages_of_named_exports_are_translated(bracketed, name):
    args = ["authors"] if name == "start" else []
    html = read(bracketed, f"admin:exporter_queryexport_{name}", *args)
    assert find_untranslated(html) == []


def test_the_page_of_a_change_list_is_translated(bracketed):
    Author.objects.create(name="Ada")
    url = "admin:exporter_queryexport_change_list"
    assert find_untranslated(read(bracketed, url, "testapp", "author", q="a")) == []


def test_a_text_that_is_not_translated_is_found():
    html = '<div id="content"><p>⟦Known⟧ and ⟦so ⟦on⟧⟧</p><input type="submit" value="go"></div>'
    assert find_untranslated(html) == ["and", "go"]

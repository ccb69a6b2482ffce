"""Named exports of the tests."""

from __future__ import annotations

import time

from django import forms
from django.db import connection
from django.db.models import Value
from django.db.models.functions import Repeat
from django.utils.translation import gettext_lazy as _

from django_infra.exporter.registry import NamedExport, register
from exporter.faults.probes import STALLING
from testapp.models import Author, Book, Publisher


class AuthorsForm(forms.Form):
    name = forms.CharField(required=False)
    born_since = forms.DateField(required=False)
    publishers = forms.ModelMultipleChoiceField(Publisher.objects.all(), required=False)
    padding = forms.IntegerField(required=False, min_value=0)
    seconds = forms.FloatField(required=False, min_value=0)


@register(
    "authors",
    values={"id": "No.", "name": _("Name"), "padding": "Padding"},
    permission="testapp.view_author",
    form_class=AuthorsForm,
    verbose_name=_("Authors"),
)
def authors(params, user):
    """Return the authors, after some seconds and with some padding."""
    time.sleep(params["seconds"] or 0)
    found = Author.objects.filter(name__startswith=params["name"]).order_by("pk")
    if params["born_since"]:
        found = found.filter(born__gte=params["born_since"])
    if params["publishers"]:
        found = found.filter(publisher__in=params["publishers"])
    return found.annotate(padding=Repeat(Value("x"), params["padding"] or 0))


@register("own-books", permission=None, formats=["csv"])
class OwnBooks(NamedExport):
    values = ["id", "title"]

    def get_queryset(self, params, user):
        return Book.objects.filter(author__email=user.email)


@register("stalling-authors", permission=None, values=["id"])
def stalling_authors(params, user):
    """Return authors of whom the database finds the first one after minutes."""
    return Author.objects.extra(where=[STALLING[connection.vendor]])

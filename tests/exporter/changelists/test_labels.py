"""Labels are what ``get_FOO_display()`` returns, whatever the database takes for equal."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal

import pytest
from django.db import connection, models
from django.test import RequestFactory
from django.utils.functional import lazystr

from django_infra.exporter.changelists.export import NAME, make_params
from django_infra.exporter.changelists.groups import make_group
from django_infra.exporter.changelists.labels import Label, has_own_display, make_label
from django_infra.exporter.changelists.offers import (
    get_computed_names,
    get_default_paths,
    list_groups,
)
from django_infra.exporter.changelists.rows import Listing
from django_infra.exporter.columns import Column
from django_infra.exporter.export import enqueue_export, export_queryset
from exporter.changelists.test_shown import PlainBookAdmin, serve
from exporter.conftest import read, write_expected
from testapp.models import Author, Book, Everything, Letter, Publisher, Reader

pytestmark = pytest.mark.django_db

PLAIN = {"escape_formulas": False}

# A field, its choices, and values in and out of them.
CHOICES = [
    ("char", [("m", "metre"), ("M", "mega"), ("ß", "sz"), ("e", "e")], ["m", "M", "ss", "é", "m "]),
    ("char", [("a", "old"), ("a", "new")], ["a", "A", "", None]),
    ("char", [("", "Empty"), (None, "None"), (1, "One")], ["", None, "1", "01"]),
    ("char", [("a", lazystr("=Lazy")), ("b", 5), ("c", None)], ["a", "b", "c", "=d"]),
    ("char", {"Group": {"a": "In a group"}, "b": "Alone"}, ["a", "b", "Group"]),
    ("text", [("t", "x\r\ny"), ("T", '"')], ["t", "T", "ţ", "t\n"]),
    ("integer", [(1, "One"), (True, "Yes"), ("2", "Two"), (None, "None")], [1, 2, 0, -3, None]),
    ("integer", [(1.0, "One"), (10**30, "Many")], [1, 2]),
    ("big", [(2**63 - 1, "Last")], [2**63 - 1, -(2**63)]),
    ("boolean", [(True, "Yes")], [True, False, None]),
    ("boolean", [(0, "No"), (None, "Unknown")], [True, False, None]),
    ("decimal", [(Decimal("1.5"), "Half"), ("2", "Two")], [Decimal("1.5"), Decimal(2), None]),
    ("floating", [(0.5, "Half"), (1, "One")], [0.5, 1.0, 2.25, None]),
    ("date", [(datetime.date(2026, 1, 2), "Day")], [datetime.date(2026, 1, d) for d in (2, 3)]),
    ("time", [(datetime.time(1, 2), "Early")], [datetime.time(1, 2), datetime.time(3, 4, 5, 6)]),
    ("duration", [(datetime.timedelta(1), "Day")], [datetime.timedelta(n) for n in (1, 2)]),
    ("uuid", [(str(uuid.UUID(int=4)), "No"), (uuid.UUID(int=5), "Yes")], [uuid.UUID(int=4), None]),
    ("ip", [("::1", "Here")], ["::1", "10.0.0.1", None]),
    ("json", [("a", "A"), (1, "One")], ["a", 1, True, [1], None]),
    ("reversed", [("abc", "Letters")], ["abc", "cba", None]),
]


@pytest.mark.parametrize(("name", "choices", "values"), CHOICES)
def test_labels_are_those_of_python(monkeypatch, name, choices, values):
    field = Everything._meta.get_field(name)
    monkeypatch.setattr(field, "choices", choices)
    Everything.objects.bulk_create(Everything(**{name: value}) for value in values)
    rows = Everything.objects.order_by("pk")
    label = make_label(name, field, vendor=connection.vendor)

    export = export_queryset(rows, [Column(label, name), "id"], options=PLAIN)

    displayed = [(each._get_FIELD_display(field), each.pk) for each in rows]
    assert read(export) == write_expected([name, "id"], displayed)


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("number", [0, 1, 2, 4, 5, 6, 8, 9, 10])
def test_the_server_makes_labels_where_it_finds_them_as_python_does(monkeypatch, number):
    name, choices, values = CHOICES[number]
    field = Everything._meta.get_field(name)
    monkeypatch.setattr(field, "choices", choices)
    Everything.objects.create(**{name: values[0]})
    label = make_label(name, field, vendor=connection.vendor)

    export = export_queryset(Everything.objects.all(), [Column(label, name), "id"], options=PLAIN)

    assert export.data_path == "copy"


def test_a_text_that_no_server_holds_is_left_to_python(monkeypatch):
    field = Everything._meta.get_field("char")
    for text in ("a\0b", "a\ud800b"):
        monkeypatch.setattr(field, "choices", [("a", text)])
        assert isinstance(make_label("char", field, vendor="postgresql"), Label)


def test_labels_of_related_rows_are_nothing_where_there_is_no_row(monkeypatch):
    field = Reader._meta.get_field("mood")
    monkeypatch.setattr(field, "choices", [("a", "Agile")])
    for vendor in ("postgresql", "sqlite"):
        label = make_label("favourite__reader__mood", field, vendor=vendor)
        assert "mood" in str(Reader.objects.annotate(label=label).query)


EMPTY = [("", "Blank"), (None, "Unknown"), ("a", "Agile")]


def test_a_row_that_is_missing_has_no_label(monkeypatch):
    field = Reader._meta.get_field("mood")
    monkeypatch.setattr(field, "choices", EMPTY)
    liked, other = Author.objects.create(name="liked"), Author.objects.create(name="other")
    Reader.objects.create(mood="a", favourite=liked)
    label = make_label("reader__mood", field, vendor=connection.vendor)
    rows = Author.objects.filter(pk__in=[liked.pk, other.pk]).order_by("pk")
    export = export_queryset(rows, [Column(label, "mood"), "id"], options=PLAIN)
    displayed = [("Agile", liked.pk), (None, other.pk)]
    assert read(export) == write_expected(["mood", "id"], displayed)


@pytest.mark.parametrize("is_null", [True, False])
@pytest.mark.parametrize("may_be_missing", [True, False])
def test_a_label_of_nothing_is_not_offered_where_a_row_may_be_missing(
    monkeypatch, is_null, may_be_missing
):
    field = Reader._meta.get_field("mood")
    monkeypatch.setattr(field, "choices", EMPTY)
    monkeypatch.setattr(field, "null", is_null)
    group = make_group(Reader, [field], path="to__", label="To", may_be_missing=may_be_missing)
    is_computed = is_null and may_be_missing
    assert group.computed == ({"to__mood": "To: Mood"} if is_computed else {})
    assert ("to__get_mood_display" in [each.path for each in group.columns]) is not is_computed


def test_the_way_tells_whether_a_row_may_be_missing(admin_user, monkeypatch):
    """A book has an author, who need not have a publisher."""
    for field in (Author._meta.get_field("name"), Publisher._meta.get_field("name")):
        monkeypatch.setattr(field, "choices", EMPTY)
        monkeypatch.setattr(field, "null", True)
    request = RequestFactory().get("/")
    request.user = admin_user
    kinds = {Book: PlainBookAdmin, Author: PlainBookAdmin, Publisher: PlainBookAdmin}
    with serve(kinds) as site:
        groups = list_groups(Listing(site.get_model_admin(Book), request), Book.objects.all())
    assert [[*group.computed] for group in groups] == [[], [], ["author__publisher__name"]]


def test_a_method_of_the_project_is_not_imitated():
    class Bill(models.Model):
        state = models.CharField(max_length=1, choices=[("p", "Paid")])
        kind = models.CharField(max_length=1, choices=[("a", "A")])

        class Meta:
            app_label = "labels"

        def __str__(self):
            return self.state

        def get_state_display(self):
            return "* Paid"

    state, kind = Bill._meta.get_field("state"), Bill._meta.get_field("kind")
    assert has_own_display(Bill, state)
    assert not has_own_display(Bill, kind)
    group = make_group(Bill, [state, kind], path="bill__", label="Bill")
    assert [column.path for column in group.columns] == [
        "bill__state", "bill__get_kind_display", "bill__kind",
    ]  # fmt: skip
    assert group.computed == {"bill__state": "Bill: State"}


@pytest.mark.django_db(transaction=True)
def test_what_is_no_choice_any_more_is_exported_as_it_is(admin_user):
    author = Author.objects.create(name="Ada")
    letters = [Letter(Kind=kind, sender=author, receiver=author) for kind in ("n", "gone", "")]
    Letter.objects.bulk_create(letters)
    request = RequestFactory().get("/")
    request.user = admin_user
    own = type("Own", (PlainBookAdmin,), {"list_display": ["Kind"], "ordering": ["pk"]})
    with serve({Letter: own}) as site:
        listing = Listing(site.get_model_admin(Letter), request)
        rows = Letter.objects.all()
        columns = [*get_default_paths(listing, list_groups(listing, rows)), "id"]
        params = make_params(listing, columns=columns, headers="names", options=PLAIN)
        export = enqueue_export(NAME, params, created_by=admin_user)
    shown = [[each.get_Kind_display(), each.pk] for each in rows.order_by("pk")]
    assert shown[1][0] == "gone"
    assert read(export) == write_expected(["get_Kind_display", "id"], shown)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("headers", ["names", "verbose"])
def test_a_chosen_column_is_there_though_its_header_is_the_name_of_another(admin_user, headers):
    author = Author.objects.create(name="Ada")
    Letter.objects.create(Kind="b", sender=author, receiver=author)
    request = RequestFactory().get("/")
    request.user = admin_user
    with serve({Letter: PlainBookAdmin}) as site:
        columns = ["get_Kind_display", "Kind", "sender"]
        listing = Listing(site.get_model_admin(Letter), request)
        params = make_params(listing, columns=columns, headers=headers, options=PLAIN)
        export = enqueue_export(NAME, params, created_by=admin_user)
    names = columns if headers == "names" else ["Kind", "Kind (code)", "Sender (ID)"]
    assert read(export) == write_expected(names, [["Bill", "b", author.pk]])


def test_the_page_says_which_labels_it_cannot_export(admin_user, monkeypatch):
    monkeypatch.setattr(Letter, "get_Kind_display", lambda self: "* Kind")
    request = RequestFactory().get("/")
    request.user = admin_user
    with serve({Letter: PlainBookAdmin}) as site:
        model_admin = site.get_model_admin(Letter)
        listing = Listing(model_admin, request)
        groups = list_groups(listing, Letter.objects.all())
        assert get_computed_names(listing, groups) == ["Kind"]
        model_admin.export_exclude = ["Kind"]
        groups = list_groups(listing, Letter.objects.all())
        assert get_computed_names(listing, groups) == []

"""What one may ask for, as the API lists it."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal

import pytest
from django import forms
from django.utils import translation
from django.utils.translation import gettext_lazy

from django_infra.exporter.registry import NamedExport
from django_infra.exporter.registry.description import MAX_CHOICES
from exporter.rest.rows import LIST
from testapp.models import Author, Publisher

pytestmark = pytest.mark.django_db

URL = f"{LIST}available/"


def find(client, name="test"):
    response = client.get(URL)
    assert response.status_code == 200
    return next((export for export in response.json() if export["name"] == name), None)


def declare_with(declare, **fields):
    form_class = type("TestForm", (forms.Form,), fields)

    @declare(form_class=form_class)
    def listed(params, user):
        return Author.objects.all()


def describe(client, declare, field):
    declare_with(declare, field=field)
    (parameter,) = find(client)["parameters"]
    return parameter


def test_an_export_says_what_it_asks_for_and_gives(client, user, permit):
    publisher = Publisher.objects.create(name="Insel")
    client.force_login(permit(user, "view_author"))
    found = find(client, "authors")
    parameters = found.pop("parameters")
    assert found == {
        "name": "authors",
        "verbose_name": "Authors",
        "description": "",
        "columns": [
            {"name": "id", "header": "No."},
            {"name": "name", "header": "Name"},
            {"name": "padding", "header": "Padding"},
        ],
        "formats": ["csv"],
    }
    assert [(each["name"], each["type"]) for each in parameters] == [
        ("name", "string"),
        ("born_since", "date"),
        ("publishers", "choice"),
        ("padding", "integer"),
        ("seconds", "number"),
    ]
    assert parameters[2] == {
        "name": "publishers",
        "label": "Publishers",
        "help_text": "",
        "type": "choice",
        "required": False,
        "multiple": True,
        "initial": None,
        "choices": [{"value": publisher.pk, "label": str(publisher)}],
    }


def test_only_what_the_user_may_run_is_listed(client, user, permit):
    client.force_login(user)
    assert find(client, "authors") is None
    assert find(client, "own-books")["verbose_name"] == "own-books"
    client.force_login(permit(user, "view_author"))
    assert find(client, "authors")


@pytest.mark.parametrize(
    ("field", "type_name"),
    [
        (forms.CharField(), "string"),
        (forms.SlugField(), "string"),
        (forms.BooleanField(), "boolean"),
        (forms.NullBooleanField(), "boolean"),
        (forms.IntegerField(), "integer"),
        (forms.FloatField(), "number"),
        (forms.DecimalField(), "decimal"),
        (forms.DateField(), "date"),
        (forms.DateTimeField(), "datetime"),
        (forms.TimeField(), "time"),
        (forms.DurationField(), "duration"),
        (forms.UUIDField(), "uuid"),
        (forms.EmailField(), "email"),
        (forms.URLField(assume_scheme="https"), "url"),
        (forms.JSONField(), "json"),
        (forms.ChoiceField(choices=[]), "choice"),
        (forms.TypedMultipleChoiceField(choices=[], coerce=int), "choice"),
        (forms.ModelChoiceField(Publisher.objects.none()), "choice"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_parameters_have_types(login, declare, field, type_name):
    assert describe(login, declare, field)["type"] == type_name


@pytest.mark.parametrize(
    ("field", "choices"),
    [
        (forms.CharField(), None),
        (forms.ChoiceField(choices=[("a", "A"), ("b", gettext_lazy("Name"))]), ["a", "b"]),
        (forms.ChoiceField(choices=[("", "---"), (1, "one")]), [1]),
        (forms.ChoiceField(choices=[("group", [("a", "A")]), ("b", "B")]), ["a", "b"]),
        (forms.ChoiceField(choices=lambda: [("a", "A")]), ["a"]),
        (
            forms.MultipleChoiceField(choices=[(uuid.UUID(int=1), "x")]),
            ["00000000-0000-0000-0000-000000000001"],
        ),
        (forms.ChoiceField(choices=[(n, n) for n in range(MAX_CHOICES)]), list(range(MAX_CHOICES))),
        (forms.ChoiceField(choices=[(n, n) for n in range(MAX_CHOICES + 1)]), None),
    ],
    ids=range(8),
)
def test_parameters_have_choices(login, declare, field, choices):
    found = describe(login, declare, field)["choices"]
    assert (found and [choice["value"] for choice in found]) == choices


def test_more_objects_than_a_page_should_hold_are_not_read(login, declare):
    Publisher.objects.bulk_create(Publisher(name=str(n)) for n in range(MAX_CHOICES + 1))
    field = forms.ModelChoiceField(Publisher.objects.all(), to_field_name="name")
    assert describe(login, declare, field)["choices"] is None
    Publisher.objects.first().delete()
    assert len(find(login)["parameters"][0]["choices"]) == MAX_CHOICES


@pytest.mark.parametrize(
    ("initial", "expected"),
    [
        (None, None),
        (5, 5),
        (datetime.date(2026, 2, 28), "2026-02-28"),
        (lambda: datetime.date(2026, 2, 28), "2026-02-28"),
        (Decimal("1.50"), "1.50"),
        (float("nan"), "nan"),
        (gettext_lazy("Name"), "Name"),
        (Publisher(name="Insel"), str(Publisher(name="Insel"))),
    ],
    ids=range(8),
)
def test_parameters_have_initial_values(login, declare, initial, expected):
    field = forms.CharField(initial=initial)
    assert describe(login, declare, field)["initial"] == expected


def test_a_parameter_has_texts_in_the_language_of_the_request(login, declare):
    declare_with(
        declare,
        field=forms.CharField(label=gettext_lazy("Name"), help_text=gettext_lazy("Name")),
    )
    with translation.override("de"):
        (parameter,) = find(login)["parameters"]
    assert parameter["help_text"] == translation.gettext("Name")
    assert parameter["required"] is True


def test_a_field_of_several_parts_is_as_many_parameters(login, declare, box):
    moment = datetime.datetime(2026, 2, 28, 12, 30)
    declare_with(declare, when=forms.SplitDateTimeField(initial=moment))
    parameters = find(login)["parameters"]
    assert [(each["name"], each["type"], each["initial"]) for each in parameters] == [
        ("when_0", "date", "2026-02-28"),
        ("when_1", "time", "12:30:00"),
    ]
    params = {each["name"]: each["initial"] for each in parameters}
    assert login.post(LIST, {"name": "test", "params": params}, format="json").status_code == 201


def test_what_may_be_unknown_is_a_choice(login, declare, box):
    parameter = describe(login, declare, forms.NullBooleanField())
    assert [choice["value"] for choice in parameter["choices"]] == [True, False]
    for value in (True, False, "true", "false", None):
        data = {"name": "test", "params": {"field": value}}
        assert login.post(LIST, data, format="json").status_code == 201


def test_json_without_an_initial_value_has_none(login, declare):
    assert describe(login, declare, forms.JSONField())["initial"] is None


def test_disabled_fields_are_no_parameters(login, declare):
    declare_with(declare, field=forms.CharField(disabled=True))
    assert find(login)["parameters"] == []


def test_columns_that_depend_on_parameters_are_not_listed(login, declare):
    @declare()
    class Chosen(NamedExport):
        def get_queryset(self, params, user):
            return Author.objects.all()

        def get_values(self, params, user):
            return ["id"]

    assert find(login)["columns"] is None


def test_the_form_can_depend_on_the_user(login, user, declare):
    class TheirForm(forms.Form):
        def __init__(self, data, user):
            super().__init__(data)
            self.fields["who"] = forms.ChoiceField(choices=[(user.pk, user.username)])

    @declare()
    class Theirs(NamedExport):
        def get_queryset(self, params, user):
            return Author.objects.all()

        def get_form(self, data, user):
            return TheirForm(data, user)

    (parameter,) = find(login)["parameters"]
    assert parameter["choices"] == [{"value": user.pk, "label": "ada"}]

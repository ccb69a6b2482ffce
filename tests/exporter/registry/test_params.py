from __future__ import annotations

import copy
import datetime
from decimal import Decimal

import pytest
from django import forms
from django.http import QueryDict

from django_infra.exporter.exceptions import InvalidParams
from django_infra.exporter.registry.named_export import NamedExport
from django_infra.exporter.registry.params import bind, serialize


class Form(forms.Form):
    since = forms.DateField(required=False)
    until = forms.DateField(required=False, widget=forms.SelectDateWidget(years=[2025, 2026]))
    moment = forms.SplitDateTimeField(required=False)
    kinds = forms.MultipleChoiceField(choices=[("a", "A"), ("b", "B")], required=False)
    limit = forms.IntegerField(required=False)
    details = forms.JSONField(required=False)
    sure = forms.BooleanField(required=False)
    fixed = forms.CharField(disabled=True, required=False, initial="always")


class Export(NamedExport):
    name = "test"
    form_class = Form


def clean(params):
    """Return what becomes of parameters on their way through JSON, without what is empty."""
    cleaned = bind(Export(), serialize(params), None)
    return {name: value for name, value in cleaned.items() if value}


@pytest.mark.parametrize(
    ("params", "cleaned"),
    [
        (None, {}),
        ({}, {}),
        ({"since": "2026-03-01"}, {"since": datetime.date(2026, 3, 1)}),
        ({"since": datetime.date(2026, 3, 1)}, {"since": datetime.date(2026, 3, 1)}),
        ({"limit": 5}, {"limit": 5}),
        ({"limit": Decimal(5)}, {"limit": 5}),
        ({"limit": None}, {}),
        ({"sure": True}, {"sure": True}),
        ({"sure": False}, {}),
        ({"kinds": ["a", "b"]}, {"kinds": ["a", "b"]}),
        ({"kinds": "a"}, {"kinds": ["a"]}),
        ({"details": '{"a": [1]}'}, {"details": {"a": [1]}}),
        ({"details": {"a": [1]}}, {"details": {"a": [1]}}),
        (QueryDict("kinds=a&kinds=b&limit=7"), {"kinds": ["a", "b"], "limit": 7}),
        (QueryDict("kinds=a"), {"kinds": ["a"]}),
        (
            {"until_year": "2026", "until_month": "3", "until_day": "1"},
            {"until": datetime.date(2026, 3, 1)},
        ),
        (
            {"moment_0": "2026-03-01", "moment_1": "12:30"},
            {"moment": datetime.datetime(2026, 3, 1, 12, 30, tzinfo=datetime.UTC)},
        ),
    ],
)
def test_form_gets_what_a_request_would_send(params, cleaned):
    assert clean(params) == {"fixed": "always", **cleaned}


def test_errors_are_told_by_field():
    with pytest.raises(InvalidParams, match=r"since: Enter a valid date\.") as error:
        clean({"since": "soon", "kinds": ["c"]})
    assert set(error.value.errors) == {"since", "kinds"}
    assert error.value.errors["since"] == [{"message": "Enter a valid date.", "code": "invalid"}]


@pytest.mark.parametrize("name", ["sinse", "until_century", "fixed", "", "Since", "moment_2"])
def test_unknown_keys_are_refused(name):
    with pytest.raises(InvalidParams, match=r"Unknown params for .*Allowed: .since") as error:
        clean({"since": "2026-03-01", name: "x"})
    assert set(error.value.errors) == {name}


def test_a_misspelt_key_is_told_beside_what_is_missing_for_it():
    class Strict(Export):
        class form_class(forms.Form):
            month = forms.CharField()
            shop = forms.IntegerField()

    with pytest.raises(InvalidParams, match=r"Unknown params .*'mnth'.*Allowed: .month") as error:
        bind(Strict(), {"mnth": "2026-03", "shop": "x"}, None)
    assert list(error.value.errors) == ["mnth", "month", "shop"]
    assert "month: This field is required." in str(error.value)
    with pytest.raises(InvalidParams, match=r"^Invalid params") as error:
        bind(Strict(), {"shop": "1"}, None)
    assert list(error.value.errors) == ["month"]


@pytest.mark.parametrize(
    "params",
    [
        [("since", "2026-03-01")],
        "since",
        {1: "x"},
        {"since": object()},
        {"limit": float("nan")},
        {"since": "\0"},
        {"details": {"a": ["\0"]}},
        {"\0": "x"},
        {"since": "\ud800"},
        {"since": b"2026"},
    ],
)
def test_what_no_job_can_carry_is_refused(params):
    with pytest.raises(InvalidParams, match="params"):
        serialize(params)


def test_backslash_is_no_nul():
    assert serialize({"since": "\\u0000"}) == {"since": "\\u0000"}


def test_form_that_takes_files_for_some_users_is_refused():
    class Changing(Export):
        def get_form(self, data, user):
            form = super().get_form(data, user)
            form.fields["upload"] = forms.FileField(required=False)
            return form

    with pytest.raises(InvalidParams, match="takes files"):
        bind(Changing(), {}, None)


def test_form_may_know_the_user():
    class Own(Export):
        def get_form(self, data, user):
            form = super().get_form(data, user)
            form.fields["kinds"].choices = [(user, user)]
            return form

    assert bind(Own(), {"kinds": ["u"]}, "u")["kinds"] == ["u"]
    with pytest.raises(InvalidParams):
        bind(Own(), {"kinds": ["a"]}, "u")


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda data: data.copy()])
def test_form_may_copy_its_data(how):
    class CopyingForm(Form):
        def __init__(self, data):
            super().__init__(data and how(data))

    class Copying(Export):
        form_class = CopyingForm

    assert bind(Copying(), {"kinds": ["a", "b"], "limit": 5}, None)["kinds"] == ["a", "b"]
    with pytest.raises(InvalidParams, match="Unknown"):
        bind(Copying(), {"nope": 1}, None)


def test_microseconds_are_kept():
    moment = datetime.datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=datetime.UTC)
    assert serialize({"at": moment}) == {"at": "2026-03-01T12:30:15.123456+00:00"}

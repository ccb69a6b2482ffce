from __future__ import annotations

import datetime

import pytest
from django import forms
from django.core.checks import run_checks

from django_infra.exporter.checks import check_named_exports
from django_infra.exporter.exceptions import InvalidNamedExport, UnknownExport
from django_infra.exporter.registry import NamedExport, Registry, registry
from testapp.models import Author


def list_authors(params, user):
    return Author.objects.all()


def declare(**changes):
    """Register a declaration that works, but for the changes, in a registry of its own."""
    attributes = {"values": ["id"], "permission": None}
    name = changes.pop("name", "authors")
    function = changes.pop("function", list_authors)
    for attribute in changes.pop("without", ()):
        del attributes[attribute]
    own = Registry()
    own.register(name, **attributes | changes)(function)
    return own


class FileForm(forms.Form):
    upload = forms.FileField()


def test_exports_of_an_installed_app_are_found():
    assert {"authors", "own-books"} <= {export.name for export in registry.exports}
    assert registry.get("authors").verbose_name == "Authors"


def test_declarations_of_the_tests_pass_the_checks():
    assert check_named_exports() == []
    assert check_named_exports in _get_registered_checks()


def _get_registered_checks():
    from django.core.checks.registry import registry as checks

    return checks.get_checks()


def test_function_is_called_with_parameters_and_user():
    def authors(*args):
        return args

    export = declare(function=authors).get("authors")
    assert export.get_queryset({"a": 1}, "user") == ({"a": 1}, "user")
    assert export.get_formats() == ["csv"]
    assert authors({}, None) == ({}, None)  # is still what it was


def test_class_keeps_what_it_defines_and_gets_the_rest():
    class Authors(NamedExport):
        values = ["name"]
        permission = "testapp.view_author"

        def get_queryset(self, params, user):
            return Author.objects.none()

    own = Registry()
    assert own.register("a", max_rows=5)(Authors) is Authors
    own.register("b", values=["id"])(Authors)
    assert (own.get("a").values, own.get("a").max_rows) == (["name"], 5)
    assert (own.get("b").values, own.get("b").max_rows) == (["id"], None)
    assert Authors.name == ""


def test_unknown_name_is_told_with_those_there_are():
    with pytest.raises(UnknownExport, match=r"No export is registered as 'nope'.*'authors'"):
        declare().get("nope")
    assert issubclass(UnknownExport, ValueError)


def test_unknown_attribute_is_refused_where_it_is_written():
    with pytest.raises(TypeError, match=r"got 'valuse'. Allowed: .*'values'"):
        declare(valuse=["id"])


def test_what_is_not_listed_is_there_for_code_alone(admin_user):
    own = declare(name="hidden", is_listed=False)
    own.register("shown", values=["id"], permission=None)(list_authors)
    assert own.get("hidden").name == "hidden"
    assert [export.name for export in own.get_permitted(admin_user)] == ["shown"]
    with pytest.raises(UnknownExport, match=r"Registered: 'shown'\.$"):
        own.get("nope")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"name": ""}, "its name must be"),
        ({"name": "ä"}, "its name must be"),
        ({"name": "a/b"}, "its name must be"),
        ({"name": "a" * 101}, "its name must be"),
        ({"without": ["values"]}, "its values must be"),
        ({"values": "id"}, "its values must be"),
        ({"values": []}, "its values is empty"),
        ({"values": ["id", "id"]}, "several columns"),
        ({"without": ["permission"]}, "its permission is 'missing'"),
        ({"permission": "view_author"}, "its permission is 'view_author'"),
        ({"permission": "nope.view_author"}, "its permission is 'nope.view_author'"),
        ({"permission": "testapp."}, "its permission is 'testapp.'"),
        ({"permission": 7}, "its permission is 7"),
        ({"form_class": dict}, "subclass of django.forms.Form"),
        ({"form_class": FileForm}, "file field 'upload'"),
        ({"formats": []}, "its formats are []"),
        ({"formats": "csv"}, "its formats are 'csv'"),
        ({"formats": ["xls"]}, "its format 'xls' is not one of 'csv'"),
        ({"options": {"escape": 1}}, "its options {'escape': 1} do not suit"),
        ({"max_rows": 0}, "its max_rows is 0"),
        ({"max_file_size": "1 MB"}, "its max_file_size is '1 MB'"),
        ({"expires_in": 60}, "its expires_in is 60"),
        ({"expires_in": datetime.timedelta(-1)}, "its expires_in is"),
        ({"function": lambda params: None}, "must take the parameters and the user"),
    ],
)
def test_declaration_that_cannot_work_is_an_error(monkeypatch, changes, fault):
    own = declare(**changes)
    (export,) = own.exports
    with pytest.raises(InvalidNamedExport) as error:
        own.get(export.name)
    assert fault in str(error.value)

    monkeypatch.setattr(registry, "exports", own.exports)
    messages = [message for message in run_checks() if message.id == "exporter.E011"]
    assert len(messages) == 1
    assert fault in messages[0].msg


def test_declaration_is_told_by_its_place():
    (export,) = declare().exports
    assert repr(export) == f"<{__name__}.list_authors: 'authors'>"


def test_name_registered_twice_is_an_error_for_both(monkeypatch):
    own = declare()
    own.register("authors", values=["id"], permission=None)(list_authors)
    with pytest.raises(InvalidNamedExport, match="registered more than once"):
        own.get("authors")
    monkeypatch.setattr(registry, "exports", own.exports)
    assert [message.id for message in check_named_exports()] == ["exporter.E011"] * 2


def test_steps_that_a_class_overrides_need_no_attributes():
    class Authors(NamedExport):
        def get_queryset(self, params, user):
            return Author.objects.all()

        def get_values(self, params, user):
            return ["id"]

        def is_permitted(self, user):
            return user.pk == 1

    own = Registry()
    own.register("authors")(Authors)
    assert own.get("authors").get_values({}, None) == ["id"]

from __future__ import annotations

import pytest
from django.core.checks import run_checks

from django_infra.exporter.changelists.requests import ChangeListRequest

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

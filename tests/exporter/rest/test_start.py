"""POST starts a named export, and cancel ends one."""

from __future__ import annotations

import base64
import json
from hashlib import sha256

import pytest
from django import forms
from django.db import connection, transaction
from rest_framework.test import APIClient

from django_infra.exporter.export import enqueue_export
from django_infra.exporter.models import ExportState, QueryExport
from exporter.rest.rows import LIST, get_detail, make_export
from testapp.models import Author

pytestmark = pytest.mark.django_db


@pytest.fixture
def author(library):
    return Author.objects.order_by("pk").first()


@pytest.fixture
def login(client, user, permit):
    client.force_login(permit(user, "view_author"))
    return client


def nest(levels):
    return [nest(levels - 1)] if levels else []


def post(client, data, **headers):
    return client.post(LIST, data, format="json", headers=headers)


@pytest.mark.django_db(transaction=True)
def test_a_post_starts_a_named_export(login, user, author):
    response = post(login, {"name": "authors", "params": {"name": "Zoë"}, "format": "csv"})
    assert response.status_code == 201
    export = QueryExport.objects.get()
    assert (export.name, export.params, export.created_by) == ("authors", {"name": "Zoë"}, user)
    assert response["Location"] == f"http://testserver{get_detail(export)}"
    assert response.json() == login.get(response["Location"]).json()
    assert response.json()["state"] == "success"
    content = b"".join(login.get(response.json()["download_url"]).streaming_content)
    assert b'"Zo\xc3\xab, the 1st"' in content
    assert response.json()["checksum"] == sha256(content).hexdigest()
    assert "Retry-After" not in response


def test_a_job_in_progress_says_when_to_ask_again(login, box):
    response = post(login, {"name": "authors"})
    assert (response.status_code, response.json()["state"]) == (201, "scheduled")
    assert response["Retry-After"] == "2"
    assert login.get(response["Location"])["Retry-After"] == "2"


@pytest.mark.parametrize(
    ("data", "errors"),
    [
        ({}, {"name": ["This field is required."]}),
        ([], ["non_field_errors"]),
        ("authors", ["non_field_errors"]),
        ({"name": "nope"}, {"name": ["There is no export of this name."]}),
        ({"name": "\ud800"}, ["name"]),
        ({"name": "a\0"}, ["name"]),
        ({"name": "x" * 5000}, ["name"]),
        ({"name": ["authors"]}, ["name"]),
        ({"name": None}, ["name"]),
        ({"name": "authors", "format": "pdf"}, ["format"]),
        ({"name": "authors", "format": "x" * 5000}, ["format"]),
        ({"name": "authors", "format": ""}, ["format"]),
        ({"name": "authors", "params": []}, ["params"]),
        ({"name": "authors", "params": None}, ["params"]),
        (
            {"name": "authors", "params": {"born_since": "soon", "padding": -1}},
            {
                "params": {
                    "born_since": ["Enter a valid date."],
                    "padding": ["Ensure this value is greater than or equal to 0."],
                }
            },
        ),
        (
            {"name": "authors", "params": {"name": ["Ann", "Bob"]}},
            {"params": {"name": ["Give one value."]}},
        ),
        (
            {"name": "authors", "params": {"nope": 1}},
            {"params": {"nope": ["Unknown parameter."]}},
        ),
        (
            {"name": "authors", "params": {"name": "\0"}},
            {"params": ["params holds a NUL character, which databases refuse."]},
        ),
        ({"name": "authors", "params": {"name": "\ud800"}}, ["params"]),
        ({"name": "authors", "params": {"publishers": [{}]}}, ["params"]),
        ({"name": "authors", "params": {"publishers": [10**30]}}, ["params"]),
        ({"name": "authors", "params": {"publishers": 2**63}}, ["params"]),
        ({"name": "authors", "params": {"born_since": 5}}, ["params"]),
        ({"name": "authors", "params": {"born_since": True}}, ["params"]),
        ({"name": "authors", "params": {"born_since": {"a": [1]}}}, ["params"]),
        ({"name": "authors", "params": {"born_since": [[1]]}}, ["params"]),
        ({"name": "authors", "params": {"name": nest(21)}}, ["params"]),
        ({"name": "authors", "params": {"name": ["\0", nest(600)]}}, ["params"]),
        ({"name": "authors", "params": {"name": "x" * 100_000}}, ["params"]),
        ({"name": "authors", "params": {f"k{n}": 1 for n in range(150_000)}}, ["params"]),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_what_is_wrong_is_told_by_field(login, data, errors):
    response = login.generic("POST", LIST, json.dumps(data), content_type="application/json")
    assert response.status_code == 400
    if isinstance(errors, dict):
        assert response.json() == errors
    else:
        assert list(response.json()) == errors
    assert not QueryExport.objects.exists()


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("{", "application/json", 400),
        ("", "application/json", 400),
        ("[" * 200_000, "application/json", 400),
        ('{"name": NaN}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        ("x", "multipart/form-data", 400),
        ("name=nope", "application/x-www-form-urlencoded", 400),
        ("name: authors", "application/yaml", 415),
        ("x", "nonsense", 415),
        ("x", "application/json; charset=nonsense", 400),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_body_that_cannot_be_read_is_refused(login, body, content_type, status):
    response = login.generic("POST", LIST, body, content_type=content_type)
    assert response.status_code == status
    assert response["Content-Type"] == "application/json"


def test_a_form_can_start_it_too(login, box):
    response = login.post(LIST, {"name": "authors", "params.name": "Zoë"}, format="multipart")
    assert response.status_code == 201
    assert QueryExport.objects.get().params == {"name": "Zoë"}


@pytest.mark.parametrize("key", ["id", "created_by", "file_path", "state", "param", "Name", "é"])
def test_nothing_else_can_be_chosen(login, user, box, key):
    response = post(login, {"name": "authors", key: user.pk})
    assert response.status_code == 400
    assert response.json() == {key: ["Unknown. Allowed: name, params, format."]}
    assert not QueryExport.objects.exists()


def test_what_else_a_form_sends_is_not_read(login, user, other, box):
    extra = {"id": "x", "created_by": other.pk, "file_path": "x.csv", "csrfmiddlewaretoken": "x"}
    assert login.post(LIST, {"name": "authors", **extra}).status_code == 201
    export = QueryExport.objects.get()
    assert (export.created_by, export.state) == (user, "scheduled")
    assert export.file_path == f"exports/{export.id}.csv"


def test_an_export_needs_its_permission(client, other, box):
    client.force_login(other)
    response = post(client, {"name": "authors"})
    assert response.status_code == 403
    assert response.json() == {"detail": "You may not run this export."}
    assert not QueryExport.objects.exists()
    assert post(client, {"name": "own-books"}).status_code == 201


@pytest.mark.parametrize("role", ["user", "staff", "admin_user"])
def test_what_is_not_listed_cannot_be_started_by_anybody(
    client, user, staff, admin_user, permit, box, declare, role
):
    @declare(name="hidden", is_listed=False, permission="testapp.view_author")
    def hidden(params, user):
        return Author.objects.all()

    who = {"user": user, "staff": staff, "admin_user": admin_user}[role]
    who = permit(who, "view_author", "add_queryexport", "change_queryexport")
    client.force_login(who)
    for name in ("hidden", " hidden "):
        response = post(client, {"name": name})
        assert response.status_code == 403
        assert response.json() == {"detail": "You may not run this export."}
    assert not QueryExport.objects.exists()
    listed = [each["name"] for each in client.get(f"{LIST}available/").json()]
    assert "authors" in listed
    assert "hidden" not in listed
    # Code may.
    assert enqueue_export("hidden", created_by=who).name == "hidden"


def test_more_than_one_may_have_is_too_many_requests(login, settings, box):
    settings.EXPORTER_MAX_ACTIVE_PER_USER = 1
    assert post(login, {"name": "authors"}).status_code == 201
    response = post(login, {"name": "authors"})
    assert response.status_code == 429
    assert "unfinished" in response.json()["detail"]


@pytest.mark.parametrize("is_atomic", [False, True])
@pytest.mark.django_db(transaction=True)
def test_a_queue_that_is_down_is_unavailable(login, settings, monkeypatch, is_atomic):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", is_atomic)
    settings.EXPORTER_RUNNER = {"BACKEND": "testapp.runners.BrokenRunner"}
    response = post(login, {"name": "authors"})
    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert list(response.json()) == ["detail"]
    assert QueryExport.objects.get().state == ExportState.FAIL


@pytest.mark.django_db(transaction=True)
def test_a_caller_that_is_atomic_hands_over_after_its_commit(login, box):
    with transaction.atomic():
        response = post(login, {"name": "authors"})
        assert response.json()["state"] == "scheduled"
        assert box == []
    assert box == [response.json()["id"]]


@pytest.mark.django_db(transaction=True)
def test_a_job_that_fails_at_once_is_created_all_the_same(login, declare, caplog):
    @declare(name="broken")
    def broken(params, user):
        # A text that is no number is found out by the database, or by Python.
        return Author.objects.filter(name="x").extra(where=["no_such_column = 1"])

    response = post(login, {"name": "broken"})
    assert response.status_code == 201
    assert response.json()["state"] == "fail"
    assert response.json()["metadata"]["error_log"] == "The export failed."


def test_numbers_and_truth_are_as_good_as_their_text(login, box, declare):
    class TypedForm(forms.Form):
        number = forms.IntegerField()
        share = forms.FloatField()
        is_old = forms.BooleanField(required=False)
        perhaps = forms.NullBooleanField()
        data = forms.JSONField()
        missing = forms.CharField(required=False)

    seen = []

    @declare(form_class=TypedForm)
    def typed(params, user):
        seen.append(params)
        return Author.objects.all()

    values = {"number": 7, "share": 1.5, "is_old": True, "perhaps": False, "data": {"a": [1]}}
    for params in (values, {**values, "missing": None}):
        assert post(login, {"name": "test", "params": params}).status_code == 201
        assert seen.pop() == {**values, "missing": ""}


def test_of_many_unknown_parameters_some_are_named(login):
    response = post(login, {"name": "authors", "params": {f"k{n}": 1 for n in range(5000)}})
    assert response.status_code == 400
    assert len(response.json()["params"]) == 10


def test_a_forged_host_starts_nothing(login, box):
    assert post(login, {"name": "authors"}, host="evil.example").status_code == 400
    assert not QueryExport.objects.exists()


def test_who_is_no_user_of_the_database_starts_nothing(client, box):
    class TokenUser:
        is_authenticated = is_active = True
        pk = 1

        def has_perm(self, permission):
            return True

        def get_username(self):
            return "token"

    client.force_authenticate(TokenUser())
    assert post(client, {"name": "own-books"}).status_code == 403
    assert not QueryExport.objects.exists()
    assert client.get(LIST).json()["results"] == []


def test_a_name_that_no_database_takes_is_no_user(client):
    credentials = base64.b64encode(b"x\0y:z").decode()
    headers = {"authorization": f"Basic {credentials}"}
    assert client.get(LIST, headers=headers).status_code in {401, 403}


def test_a_post_from_another_site_starts_nothing(user):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(user)
    assert post(client, {"name": "own-books"}).status_code == 403
    assert not QueryExport.objects.exists()


def test_the_answer_can_be_partial(login, box):
    response = login.post(f"{LIST}?fields=id,metadata(row_count)", {"name": "authors"})
    assert response.json() == {
        "id": QueryExport.objects.get().pk,
        "metadata": {"row_count": None},
    }


def test_unknown_fields_are_refused_before_anything_starts(login, user, box):
    assert login.post(f"{LIST}?fields=nope", {"name": "authors"}).status_code == 400
    assert not QueryExport.objects.exists()
    export = make_export(user, ExportState.PROCESSING)
    assert login.post(f"{get_detail(export)}cancel/?fields=nope").status_code == 400
    export.refresh_from_db()
    assert export.state == ExportState.PROCESSING


def test_starting_has_a_throttle_of_its_own(login, settings, box):
    settings.REST_FRAMEWORK = {"DEFAULT_THROTTLE_RATES": {"exporter-start": "2/hour"}}
    statuses = [post(login, {"name": "own-books"}).status_code for _ in range(3)]
    assert statuses == [201, 201, 429]
    refused = post(login, {"name": "own-books"})
    assert int(refused["Retry-After"]) > 3000
    assert login.get(LIST).status_code == 200


def test_starting_is_not_throttled_unless_the_project_says_so(login, box):
    assert {post(login, {"name": "own-books"}).status_code for _ in range(12)} == {201}


def test_exports_of_a_form_that_takes_lists_and_dates(login, box, declare):
    class ListForm(forms.Form):
        numbers = forms.MultipleChoiceField(choices=[("1", "one"), ("2", "two")])
        day = forms.DateField()

    @declare(form_class=ListForm)
    def listed(params, user):
        return Author.objects.all()

    params = {"numbers": ["1", "2"], "day": "2026-02-28"}
    assert post(login, {"name": "test", "params": params}).status_code == 201
    assert QueryExport.objects.get().params == params


# Cancel


@pytest.mark.parametrize("state", [ExportState.SCHEDULED, ExportState.PROCESSING])
def test_cancel_ends_what_is_unfinished(login, user, state):
    export = make_export(user, state)
    response = login.post(f"{get_detail(export)}cancel/")
    assert response.status_code == 200
    assert response.json()["state"] == "fail"
    assert response.json()["metadata"]["error_log"] == "The export was cancelled."
    export.refresh_from_db()
    assert "Cancelled by ada" in export.error_log


@pytest.mark.parametrize("state", [ExportState.SUCCESS, ExportState.FAIL])
def test_what_has_ended_cannot_be_cancelled(login, user, state):
    export = make_export(user, state)
    before = QueryExport.objects.values().get()
    response = login.post(f"{get_detail(export)}cancel/")
    assert response.status_code == 409
    assert response.json() == {"detail": "The export has ended already."}
    assert QueryExport.objects.values().get() == before


def test_a_second_cancel_says_that_it_has_ended(login, user):
    url = f"{get_detail(make_export(user, ExportState.PROCESSING))}cancel/"
    assert [login.post(url).status_code for _ in range(2)] == [200, 409]


HALF = "\ud800"


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"name": HALF}, "name"),
        ({"name": "own-books", "format": HALF}, "format"),
        ({"name": "own-books", HALF: 1}, "detail"),
        ({"name": "own-books", "other": HALF}, "other"),
        ({"name": "own-books", "params": {HALF: 1}}, "params"),
        ({"name": "own-books", "params": {"a": [{"b": HALF}]}}, "params"),
        ([HALF], "detail"),
        (HALF, "detail"),
    ],
    ids=range(8),
)
def test_half_a_pair_of_surrogates_is_refused(login, accept, body, name):
    data = json.dumps(body)
    response = login.post(LIST, data, content_type="application/json", headers={"accept": accept})
    assert response.status_code == 400
    assert "Surrogate characters are not allowed." in response.content.decode()
    if accept == "application/json":
        assert list(response.json()) == [name]
    assert not QueryExport.objects.exists()


def test_a_whole_pair_of_surrogates_is_a_character(login):
    data = '{"name": "\\ud83d\\ude00"}'
    response = login.post(LIST, data, content_type="application/json")
    assert response.json() == {"name": ["There is no export of this name."]}


CHARSETS = ["hex", "idna", "punycode", "rot13", "undefined", "unicode_escape", "utf-7", "utf-16"]


@pytest.mark.parametrize("charset", CHARSETS)
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"name": "\xff", "a\\ud800": 1}'),
        ("application/x-www-form-urlencoded", b"name=a%ED%A0%80"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n'
            b"a\\ud800+2AA-\xff\r\n--x--\r\n",
        ),
    ],
    ids=["json", "urlencoded", "multipart"],
)
def test_a_charset_that_is_none_of_text_is_no_fault_of_the_server(login, charset, kind, body):
    response = login.post(LIST, body, content_type=f"{kind}; charset={charset}")
    assert response.status_code in {400, 415}

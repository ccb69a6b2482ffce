from __future__ import annotations

import pytest
from django.contrib.messages import get_messages
from django.core.files.storage import storages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_infra.exporter.jobs.worker import run_job
from django_infra.exporter.models import ExportState, QueryExport
from exporter.admin.rows import (
    CANCEL,
    DELETE,
    DETAIL,
    LIST,
    RUN_AGAIN,
    make_export,
    make_file,
    permit,
)

pytestmark = pytest.mark.django_db


def get_told(response):
    return [(message.level_tag, str(message)) for message in get_messages(response.wsgi_request)]


@pytest.fixture
def act(client, django_capture_on_commit_callbacks):
    """Do something with the exports on the list, and return what is told."""

    def act(action, *exports, **data):
        data |= {"action": action, "_selected_action": [export.pk for export in exports]}
        with django_capture_on_commit_callbacks(execute=True):
            return get_told(client.post(reverse(LIST), data))

    return act


def get_offered(response):
    form = response.context["action_form"]
    return [name for name, _text in form.fields["action"].choices if name] if form else []


ALL = ["cancel_selected", "run_selected_again", "delete_selected"]


@pytest.mark.parametrize(
    ("codenames", "expected"),
    [
        (["view"], ["run_selected_again"]),
        (["view", "change"], ["cancel_selected", "run_selected_again"]),
        (["view", "delete"], ["run_selected_again", "delete_selected"]),
        (["view", "change", "delete"], ALL),
    ],
    ids=str,
)
def test_actions_are_offered_to_those_who_may_use_them(page, staff, codenames, expected):
    make_export()
    permit(staff, *(f"{codename}_queryexport" for codename in codenames))
    assert get_offered(page(LIST)) == expected


def test_owners_are_offered_all_actions(client, owner):
    make_export(created_by=owner)
    assert get_offered(client.get(reverse(LIST))) == ALL


def test_nobody_is_offered_to_run_what_there_is_not(page, monkeypatch):
    monkeypatch.setattr("django_infra.exporter.registry.registry.exports", [])
    assert "run_selected_again" not in get_offered(page(LIST))


# Cancel


def test_what_is_unfinished_is_cancelled_and_the_rest_counted(page, staff, act):
    page(LIST)
    exports = [make_export(state) for state in ExportState]
    told = act("cancel_selected", *exports)
    assert told == [("warning", "2 exports were cancelled. 2 had ended already.")]
    states = [QueryExport.objects.get(pk=export.pk).state for export in exports]
    assert states == ["fail", "fail", "success", "fail"]
    assert "Cancelled by staff" in QueryExport.objects.get(pk=exports[0].pk).error_log
    # What was told is shown once.
    page(LIST)
    assert act("cancel_selected", exports[0]) == [("error", "1 had ended already.")]


def test_who_may_view_all_cancels_only_what_is_his(page, staff, act):
    page(LIST)
    permit(staff, "view_queryexport")
    own = make_export(ExportState.PROCESSING, created_by=staff)
    foreign = make_export(ExportState.PROCESSING)
    told = act("cancel_selected", own, foreign)
    assert told == [("warning", "1 export was cancelled. 1 is not yours to cancel.")]
    assert QueryExport.objects.get(pk=foreign.pk).state == "processing"


def test_all_well_is_a_success(page, act):
    page(LIST)
    told = act("cancel_selected", make_export(ExportState.SCHEDULED))
    assert told == [("success", "1 export was cancelled.")]


# Run again


def test_a_named_export_is_run_again_as_a_new_row(page, staff, act, box):
    page(LIST)
    staff.is_superuser = True
    staff.save()
    params = {"name": ["A"]}
    old = make_export(name="authors", params=params, format="csv", created_by=None)
    assert act("run_selected_again", old) == [("success", "1 export was started again.")]
    new = QueryExport.objects.exclude(pk=old.pk).get()
    assert (new.name, new.params, new.format) == ("authors", params, "csv")
    assert new.created_by == staff
    assert box == [new.pk]


def test_what_cannot_be_run_again_is_counted(page, staff, act, box):
    page(LIST)
    exports = [
        make_export(name="own-books"),
        make_export(name="own-books", state=ExportState.PROCESSING),
        make_export(),
        make_export(name="authors"),
        make_export(name="no-more"),
        make_export(name="own-books", params={"unknown": ["1"]}),
    ]
    ((level, text),) = act("run_selected_again", *exports)
    assert level == "warning"
    assert text == (
        "1 export was started again. 1 has not ended yet. "
        "1 was not started by name, and cannot be run again. "
        "1 is an export that you may not run. 2 cannot be run any more as they were."
    )
    assert len(box) == 1


def test_the_parameters_of_all_are_read_at_once(page, act):
    page(LIST)
    exports = [make_export(name="authors") for _ in range(3)]
    with CaptureQueriesContext(connection) as queries:
        assert act("run_selected_again", *exports) == [
            ("error", "3 are exports that you may not run.")
        ]
    assert sum("params" in query["sql"] for query in queries) == 1


def test_no_more_than_allowed_are_started(page, staff, act, box, settings):
    settings.EXPORTER_MAX_ACTIVE_PER_USER = 1
    page(LIST)
    exports = [make_export(name="own-books", created_by=staff) for _ in range(3)]
    ((level, text),) = act("run_selected_again", *exports)
    assert level == "warning"
    assert text == (
        "1 export was started again. 2 must wait: you have as many unfinished exports as you may."
    )


@pytest.mark.parametrize("is_atomic", [False, True])
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", ["list", "page"])
def test_a_runner_that_is_away_is_told(page, client, act, settings, monkeypatch, is_atomic, way):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", is_atomic)
    settings.EXPORTER_RUNNER = {"BACKEND": "testapp.runners.BrokenRunner"}
    page(LIST)
    export = make_export(name="own-books")
    if way == "list":
        told = act("run_selected_again", export)
    else:
        told = get_told(client.post(reverse(RUN_AGAIN, args=[export.pk])))
    assert told == [("error", "1 failed at once: no worker can be reached.")]
    assert QueryExport.objects.exclude(pk=export.pk).get().state == "fail"


# Delete


def test_exports_are_deleted_with_their_files(page, act):
    page(LIST)
    done, running = make_file(), make_export(ExportState.PROCESSING)
    told = act("delete_selected", done, running, post="yes")
    assert told == [("success", "Successfully deleted 2 query exports.")]
    assert not QueryExport.objects.exists()
    assert not storages["default"].exists(done.file.name)


def test_deleting_says_what_it_deletes(page, client):
    export = make_export()
    assert "Delete selected exports with their files" in page(LIST).content.decode()
    data = {"action": "delete_selected", "_selected_action": [export.pk]}
    text = client.post(reverse(LIST), data).content.decode()
    assert export.pk in text
    assert QueryExport.objects.exists()


# Buttons


@pytest.mark.parametrize(
    ("state", "name", "expected"),
    [
        ("scheduled", "own-books", [CANCEL]),
        ("processing", "", [CANCEL]),
        ("success", "", []),
        ("success", "own-books", [RUN_AGAIN]),
        ("success", "authors", []),
        ("fail", "own-books", [RUN_AGAIN]),
    ],
)
@pytest.mark.parametrize("may_delete", [True, False])
def test_the_page_has_the_buttons_that_lead_somewhere(
    page, staff, state, name, expected, may_delete
):
    permit(staff, "view_queryexport", "change_queryexport", *["delete_queryexport"] * may_delete)
    export = make_export(ExportState(state), name=name)
    text = page(DETAIL, export.pk).content.decode()
    for url_name in (CANCEL, RUN_AGAIN):
        button = f'<input type="submit" formaction="{reverse(url_name, args=[export.pk])}"'
        assert (button in text) is (url_name in expected)
    assert "csrfmiddlewaretoken" in text
    assert (f'href="{reverse(DELETE, args=[export.pk])}"' in text) is may_delete


def test_the_cancel_button_cancels(page, client):
    export = make_export(ExportState.PROCESSING)
    page(LIST)
    response = client.post(reverse(CANCEL, args=[export.pk]))
    assert (response.status_code, response.url) == (302, reverse(DETAIL, args=[export.pk]))
    assert get_told(response) == [("success", "1 export was cancelled.")]
    assert QueryExport.objects.get().state == "fail"


def test_the_run_again_button_leads_to_the_new_export(page, client, staff, box):
    export = make_export(name="own-books")
    page(LIST)
    response = client.post(reverse(RUN_AGAIN, args=[export.pk]))
    new = QueryExport.objects.exclude(pk=export.pk).get()
    assert (response.status_code, response.url) == (302, reverse(DETAIL, args=[new.pk]))
    run_job(new.pk)
    assert QueryExport.objects.get(pk=new.pk).state == "success"


def test_a_change_needs_a_post_and_its_token(page, staff):
    export = make_export(ExportState.PROCESSING, created_by=staff)
    page(LIST)
    for name in (CANCEL, RUN_AGAIN):
        assert page(name, export.pk).status_code == 405
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(staff)
        assert strict.post(reverse(name, args=[export.pk])).status_code == 403
    assert QueryExport.objects.get().state == "processing"

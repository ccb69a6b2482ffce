from __future__ import annotations

import datetime
from html import escape

import pytest
from django.contrib.admin import AdminSite
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, Storage, storages
from django.urls import reverse
from django.utils import timezone

from django_infra.exporter.exceptions import WorkerLost
from django_infra.exporter.models import ExportState
from exporter.admin.rows import DETAIL, LIST, make_export, make_file

pytestmark = pytest.mark.django_db


class PrivateStorage(InMemoryStorage):
    def url(self, name):
        return Storage.url(self, name)


class BrokenStorage(InMemoryStorage):
    def url(self, name):
        raise OSError("The signing service is away.")


def test_the_detail_page_shows_the_facts(page, staff):
    export = make_export(created_by=staff, file_path="reports/users.csv")
    storages["default"].save(export.file_path, ContentFile(b"x"))
    response = page(DETAIL, export.pk)
    assert response.status_code == 200
    text = response.content.decode()
    for fact in (export.id, "Success", "12345", "2.0\xa0KB", "testapp.Author", "staff", "0:01:01"):
        assert fact in text
    assert "reports/users.csv" in text
    assert f'href="{export.file.url}"' not in text


@pytest.mark.parametrize("state", ExportState)
def test_there_is_a_detail_page_for_every_state(page, state):
    export = make_export(state)
    response = page(DETAIL, export.pk)
    assert response.status_code == 200
    assert str(state.label) in response.content.decode()


@pytest.mark.parametrize("state", sorted(set(ExportState) - {ExportState.SUCCESS}))
def test_without_a_file_there_is_no_link(page, state):
    export = make_export(state, file_path="reports/users.csv")
    assert 'reports/users.csv">' not in page(DETAIL, export.pk).content.decode()


@pytest.mark.parametrize("storage", [PrivateStorage, BrokenStorage], ids=lambda s: s.__name__)
def test_a_storage_without_urls_shows_the_name(page, settings, storage):
    settings.STORAGES = settings.STORAGES | {
        "private": {"BACKEND": f"{__name__}.{storage.__name__}"}
    }
    export = make_export(storage_alias="private", file_path="reports/users.csv")
    response = page(DETAIL, export.pk)
    assert response.status_code == 200
    text = response.content.decode()
    assert "reports/users.csv" in text
    assert 'reports/users.csv">' not in text


def test_a_storage_that_is_no_more_shows_the_name(page):
    export = make_export(storage_alias="gone", file_path="reports/users.csv")
    for response in (page(LIST), page(DETAIL, export.pk)):
        assert response.status_code == 200
    assert "reports/users.csv" in response.content.decode()


def test_an_error_is_shown_escaped(page):
    message = "<script>alert('1')</script> & \"more\""
    export = make_export(ExportState.FAIL, ValueError(message))
    text = page(DETAIL, export.pk).content.decode()
    assert "<script>alert" not in text
    assert f"ValueError: {escape(message)}" in text


def test_a_name_is_shown_escaped(page, staff):
    staff.username = "<b>staff</b>"
    staff.save()
    export = make_export(created_by=staff, file_path="a'&b;<c>.csv")
    for response in (page(LIST), page(DETAIL, export.pk)):
        text = response.content.decode()
        assert "<b>staff" not in text
        assert "<c>" not in text
    assert "a&#x27;&amp;b;&lt;c&gt;.csv" in text


@pytest.mark.parametrize("pk", ["nope", "a'b", "%f0%9f%98%80", "x" * 500, "a b"])
def test_an_unknown_export_leads_back_to_the_index(page, client, pk):
    page(LIST)
    response = client.get(reverse(LIST) + f"{pk}/change/")
    assert (response.status_code, response.url) == (302, reverse("admin:index"))


def test_the_history_page_works(page):
    assert page("admin:exporter_queryexport_history", make_export().pk).status_code == 200


# Timeline


def get_steps(response):
    return [(step.label, step.distance) for step in response.context["steps"]]


def test_the_timeline_tells_what_happened_and_how_long_it_took(page):
    export = make_export(name="authors")
    time = timezone.now() - datetime.timedelta(hours=1)
    seconds = {"created_at": 0, "handed_over_at": 0.25, "start_time": 2, "finished_at": 63}
    export.update(
        **{name: time + datetime.timedelta(seconds=value) for name, value in seconds.items()},
        expires_at=time + datetime.timedelta(days=2, seconds=63),
    )
    response = page(DETAIL, export.pk)
    assert get_steps(response) == [
        ("Scheduled", None),
        ("Handed over to the runner", "0:00:00.25"),
        ("Started", "0:00:01"),
        ("Finished", "0:01:01"),
        ("Expires", "2 days"),
    ]
    text = response.content.decode()
    assert "0:01:01 later" in text
    assert f'<time datetime="{time.isoformat()}">' in text


def test_the_timeline_goes_on_after_the_end(page):
    export = make_export()
    now = timezone.now()
    export.update(
        expires_at=now + datetime.timedelta(seconds=1),
        file_deleted_at=now + datetime.timedelta(seconds=2),
    )
    assert [label for label, _ in get_steps(page(DETAIL, export.pk))][2:] == [
        "Finished",
        "Expires",
        "File deleted",
    ]
    export.update(expires_at=now + datetime.timedelta(seconds=3))
    assert [label for label, _ in get_steps(page(DETAIL, export.pk))][3:] == [
        "File deleted",
        "Expires",
    ]
    export.update(expires_at=now)
    assert "Expired" in dict(get_steps(page(DETAIL, export.pk)))


@pytest.mark.parametrize("state", ExportState)
def test_the_timeline_fits_the_state(page, state):
    labels = [label for label, _ in get_steps(page(DETAIL, make_export(state).pk))]
    assert ("Last sign of the worker" in labels) is (state == ExportState.PROCESSING)
    assert ("Failed" in labels) is (state == ExportState.FAIL)
    assert ("Finished" in labels) is (state == ExportState.SUCCESS)


def test_the_timeline_keeps_the_order_of_stages_whatever_the_clocks_say(page):
    export = make_export(ExportState.PROCESSING)
    time = timezone.now()
    early = time - datetime.timedelta(minutes=1)
    export.update(created_at=time, handed_over_at=early, start_time=time, heartbeat_at=early)
    assert get_steps(page(DETAIL, export.pk)) == [
        ("Scheduled", None),
        ("Handed over to the runner", None),
        ("Started", "0:01:00"),
        ("Last sign of the worker", None),
    ]


@pytest.mark.parametrize(("again", "place"), [(0, 1), (9, 3)])
def test_the_timeline_has_the_attempts_that_failed(page, again, place):
    export = make_export(ExportState.PROCESSING)
    time = timezone.now() - datetime.timedelta(hours=1)
    times = [time + datetime.timedelta(seconds=each) for each in range(10)]
    earlier = {"attempt": 1, "started_at": str(times[1]), "ended_at": str(times[3])}
    export.update(attempt=2, failures=[earlier, {}], created_at=time, handed_over_at=times[again])
    steps = get_steps(page(DETAIL, export.pk))
    assert steps.pop(place)[0] == "Handed over to the runner"
    assert [label for label, _ in steps] == [
        "Scheduled",
        "Attempt 1 started",
        "Attempt 1 failed",
        "Attempt 2 started",
        "Last sign of the worker",
    ]
    assert steps[2][1] == "0:00:02"


def test_an_attempt_of_which_only_the_end_is_known_has_failed(page):
    export = make_export(ExportState.PROCESSING)
    export.update(failures=[{"ended_at": str(timezone.now())}])
    assert "Failed" in dict(get_steps(page(DETAIL, export.pk)))


def test_times_are_told_to_the_second(page):
    export = make_export(ExportState.FAIL)
    time = datetime.datetime(2026, 7, 25, 14, 3, 59, tzinfo=datetime.UTC)
    export.update(finished_at=time)
    text = page(DETAIL, export.pk).content.decode()
    assert text.count("July 25, 2026, 14:03:59</time>") == 2


@pytest.mark.parametrize("state", ExportState)
def test_no_title_tells_a_state_that_may_be_over(page, state):
    export = make_export(state)
    text = page(DETAIL, export.pk).content.decode()
    assert f"<title>{export.pk} | " in text
    assert f"({state.label})" not in text
    assert f'data-reload="{state}"' in text


# Failures


def test_every_attempt_that_failed_is_told(page):
    export = make_export(ExportState.PROCESSING)
    export.try_again("second", WorkerLost("no heartbeat"))
    error = ValueError("not a <number>")
    error.add_note("Row 5, column 'price'.")
    export.fail(error)
    response = page(DETAIL, export.pk)
    last, first = response.context["failures"]
    assert (last.attempt, last.kind, last.reason) == (2, "ValueError", None)
    assert last.message == "not a <number>\nRow 5, column 'price'."
    assert (first.attempt, first.kind, first.reason) == (
        1,
        "WorkerLost",
        "The export was interrupted.",
    )
    assert first.started_at <= first.ended_at
    text = response.content.decode()
    assert "<strong>ValueError</strong>" in text
    assert "<strong>The export was interrupted.</strong>" in text
    assert "django_infra.exporter.exceptions.WorkerLost: no heartbeat</pre>" in text
    assert "<number>" not in text
    assert "Attempt 2 started" in dict(get_steps(response))


def test_a_long_error_is_shortened_before_it_is_unfolded(page):
    export = make_export(ExportState.FAIL, ValueError("x" * 5000))
    response = page(DETAIL, export.pk)
    (failure,) = response.context["failures"]
    assert failure.message == "x" * 600 + "…"
    assert "x" * 5000 + "</pre>" in response.content.decode()


@pytest.mark.parametrize(
    "failures",
    [[{}], ["x"], {}, None, [{"attempt": "x", "started_at": 1, "ended_at": "2026-99-99"}]],
    ids=str,
)
def test_failures_of_any_form_are_shown(page, failures):
    export = make_export(ExportState.FAIL)
    export.update(failures=failures if failures is not None else "null", error_log="")
    assert page(DETAIL, export.pk).status_code == 200


def test_a_success_after_a_failure_says_so(page):
    export = make_export(ExportState.PROCESSING)
    export.try_again("second", ValueError("first"))
    export.succeed(row_count=1, file_size=1, job_time=datetime.timedelta(seconds=1))
    text = page(DETAIL, export.pk).content.decode()
    assert "Attempts that failed" in text
    assert "What went wrong" not in text


@pytest.mark.parametrize("state", [ExportState.SCHEDULED, ExportState.PROCESSING])
@pytest.mark.parametrize("is_told", [True, False])
def test_what_was_cancelled_did_not_go_wrong(page, staff, state, is_told):
    export = make_export(state)
    export.cancel(by=staff if is_told else None)
    export.refresh_from_db()
    response = page(DETAIL, export.pk)
    text = response.content.decode()
    assert "What happened" in text
    assert "What went wrong" not in text
    assert 'class="export-failure export-failure-earlier"' in text
    assert "<strong>The export was cancelled.</strong>" in text
    assert ('<span dir="auto">By staff.</span>' in text) is is_told
    assert f"{export.error_log}</pre>" in text
    assert [label for label, _ in get_steps(response)][-1] == "Cancelled"


# Facts


def test_parameters_are_a_table(page):
    params = {"name": ["<b>"], "several": ["1", "2"], "empty": [""], "number": 5, "none": None}
    text = page(DETAIL, make_export(name="authors", params=params).pk).content.decode()
    for name, value in {
        "name": "&lt;b&gt;",
        "several": '<pre tabindex="0" dir="ltr">[\n  &quot;1&quot;,\n  &quot;2&quot;\n]</pre>',
        "empty": "-",
        "number": "5",
        "none": "null",
    }.items():
        assert f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' in text


def test_columns_and_checksum_are_shown_where_they_are_known(page):
    export = make_export(file_path="reports/a.csv")
    text = page(DETAIL, export.pk).content.decode()
    assert "(expression)" not in text
    columns = [{"name": "id", "header": "No."}, {"name": None, "header": "<Sum>"}]
    export.update(columns=columns, checksum="ab" * 32)
    text = page(DETAIL, export.pk).content.decode()
    assert '<tr><th scope="row">No.</th><td>id</td></tr>' in text
    assert '<tr><th scope="row">&lt;Sum&gt;</th><td>(expression)</td></tr>' in text
    assert f'<code dir="ltr">{"ab" * 32}  a.csv</code>' in text


@pytest.mark.parametrize(("path", "words"), [("copy", "COPY: the"), ("python", "Python: each")])
def test_the_data_path_is_told_in_words(page, path, words):
    export = make_export()
    export.update(data_path=path)
    assert words in page(DETAIL, export.pk).content.decode()


def test_no_address_of_the_storage_is_shown(page):
    export = make_file(file_path="reports/users.csv")
    for response in (page(LIST), page(DETAIL, export.pk)):
        assert export.file.url not in response.content.decode()


@pytest.mark.parametrize("pk", ["a_00b", "a%00b", "x_2Fy"])
def test_a_hostile_id_leads_back_to_the_index(page, client, pk):
    page(LIST)
    for end in ("change/", "delete/", "history/", "cancel/", "run-again/", "download/"):
        response = (client.post if end in ("cancel/", "run-again/") else client.get)(
            f"{reverse(LIST)}{pk}/{end}"
        )
        assert (response.status_code, response.url) == (302, reverse("admin:index"))


@pytest.mark.parametrize("is_staff", [True, False])
def test_who_is_no_staff_reads_no_details_of_errors(client, owner, monkeypatch, is_staff):
    monkeypatch.setattr(AdminSite, "has_permission", lambda self, request: True)
    owner.is_staff = is_staff
    owner.save()
    export = make_export(ExportState.FAIL, ValueError("/secret/path"), created_by=owner)
    earlier = {"attempt": 1, "error": "builtins.OSError: /secret/file"}
    lost = {"attempt": 2, "error": f"{WorkerLost.__module__}.WorkerLost: /secret/worker"}
    export.update(failures=[earlier, lost])
    text = client.get(reverse(DETAIL, args=[export.pk])).content.decode()
    assert ("/secret/" in text) is is_staff
    assert text.count("The export was interrupted.") == (1 if is_staff else 2)
    assert ("The export failed." in text) is not is_staff


def test_a_failed_export_shows_no_facts_that_there_are_none_of(page, settings):
    settings.USE_THOUSAND_SEPARATOR = True
    export = make_export(ExportState.PROCESSING)
    export.beat(row_count=65_612, progress_percent=45)
    before = page(DETAIL, export.pk).content.decode()
    export.fail(ValueError("no"))
    after = page(DETAIL, export.pk).content.decode()
    assert "45% · 65,612 rows</span>" in before
    assert "45% · last reported: 65,612 rows</span>" in after
    for name, is_empty in {
        "stored_file": True,
        "sha256": True,
        "created_by": True,
        "id": False,
    }.items():
        assert f"field-{name}" in before
        assert (f"field-{name}" not in after) is is_empty
    assert '<div class="readonly">-</div>' not in after


def test_help_for_developers_is_not_shown(page):
    assert "queryset that was in hand" not in page(DETAIL, make_export().pk).content.decode()

from __future__ import annotations

import posixpath
import signal
from datetime import timedelta
from urllib.request import urlopen

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db.models import F, Value
from django.db.models.functions import Repeat

from django_infra.exporter.exceptions import FileAlreadyExists
from django_infra.exporter.export import export_queryset
from django_infra.exporter.housekeeping.recovery import recover_exports
from django_infra.exporter.models import ExportState, Leftover, QueryExport
from exporter.faults.authors import COLUMNS, export_authors, make_authors_csv
from exporter.faults.marks import commits, commits_to_both
from exporter.faults.probes import find_files
from exporter.faults.races import assert_one_winner_each, race
from exporter.faults.s3 import BUCKET, S3Server

pytest_plugins = ["exporter.faults.fixtures"]
pytestmark = [*commits, pytest.mark.external]

ERROR = "500 Internal Server Error"


@pytest.fixture(scope="module")
def s3_server():
    with S3Server() as server:
        yield server


@pytest.fixture
def s3(s3_server, settings, temp_dir):
    """A server with an empty bucket, in which the exporter saves."""
    s3_server.clear()
    settings.STORAGES = {**settings.STORAGES, "default": s3_server.get_storage()}
    yield s3_server
    s3_server.reset()
    assert find_files(temp_dir) == []


def export_large(authors, path):
    """Export 17 MB, which are four parts."""
    wide = authors.annotate(padding=Repeat(Value("x"), 350_000))
    return export_queryset(wide, [*COLUMNS, "padding"], path)


def assert_failed_and_gone(s3):
    s3.reset()
    export = QueryExport.objects.get()
    assert export.state == ExportState.FAIL
    assert not export.file
    assert s3.list_objects() == []
    assert s3.list_uploads() == []
    return export


@pytest.mark.parametrize("parts", [0, 4])
def test_object_is_the_file(authors, s3, parts):
    if parts:
        done = export_large(authors, "a/b/large.csv")
    else:
        done = export_authors("a/b/small.csv")
        assert s3.read("a/b/small.csv") == make_authors_csv(authors)
    assert done.state == ExportState.SUCCESS
    assert s3.list_objects() == [done.file.name]
    assert done.file_size == len(s3.read(done.file.name)) == done.file.size
    assert s3.operations.count("Part") == parts
    assert s3.list_uploads() == []


@pytest.mark.parametrize(
    ("operation", "count", "fault"),
    [
        ("Put", 1, ERROR),
        ("Put", 1, "503 Slow Down"),
        ("Put", 1, "403 Forbidden"),
        ("Put", 1, "cut"),
        ("Begin", 1, ERROR),
        ("Part", 3, ERROR),
        ("Part", 2, "cut"),
        ("Complete", 1, ERROR),
        ("Complete", 1, "cut"),
    ],
)
def test_failed_save_leaves_no_object_and_no_upload(authors, s3, operation, count, fault):
    s3.fault = lambda asked, number: fault if (asked, number) == (operation, count) else None
    with pytest.raises((ClientError, BotoCoreError, OSError)):
        export_authors("fails.csv") if operation == "Put" else export_large(authors, "fails.csv")
    assert operation in s3.operations
    assert_failed_and_gone(s3)


@pytest.fixture
def recover(s3):
    """Have an hour pass on a server that is well, and return what a recovery does then."""

    def recover():
        s3.fault = lambda operation, number: None
        QueryExport.objects.update(heartbeat_at=F("heartbeat_at") - timedelta(hours=1))
        return recover_exports()

    return recover


@pytest.mark.parametrize("path", [None, "reports/killed.csv"])
@pytest.mark.parametrize("lead", [0, 3, -600])
@pytest.mark.parametrize("location", ["", "tenants/a"])
def test_uploads_of_a_killed_export_are_aborted_by_the_recovery(
    authors, s3, child, settings, recover, caplog, path, lead, location
):
    default = settings.STORAGES["default"]
    default = {**default, "OPTIONS": {**default["OPTIONS"], "location": location}}
    settings.STORAGES = {**settings.STORAGES, "default": default}
    s3.lead = timedelta(minutes=lead)
    worker = child()
    s3.fault = lambda operation, number: (
        worker.process.kill() if (operation, number) == ("Part", 2) else None
    )
    worker.begin("export_authors", path=path, padding=350_000)
    assert worker.wait() == -signal.SIGKILL
    (upload,) = s3.list_uploads()
    export = QueryExport.objects.get()
    assert upload["Key"] == posixpath.join(location, export.object_name)
    assert recover().failed == 1
    assert s3.list_uploads() == []
    assert s3.list_objects() == []
    assert upload["UploadId"] in caplog.text
    assert upload["Key"] in caplog.text


@pytest.mark.parametrize("end", ["fail", "succeed"])
def test_uploads_of_others_are_spared(authors, s3, end):
    before = s3.begin_upload("shared.csv")
    beside = s3.begin_upload("shared.csv.gz")
    s3.fault = lambda operation, number: (
        ERROR if end == "fail" and operation in ("Complete", "Abort") else None
    )
    if end == "fail":
        with pytest.raises(ClientError):
            export_large(authors, "shared.csv")
    else:
        export_large(authors, "shared.csv")
    ids = s3.list_upload_ids()
    assert {before, beside} <= set(ids)
    assert len(ids) == (3 if end == "fail" else 2)


def test_upload_whose_abort_fails_is_aborted_after_all(authors, s3):
    """That of boto3 fails, and ours comes after it."""
    s3.fault = lambda operation, number: (
        ERROR if operation == "Complete" or (operation, number) == ("Abort", 1) else None
    )
    with pytest.raises(ClientError):
        export_large(authors, "fails.csv")
    assert s3.operations.count("Abort") == 2
    assert_failed_and_gone(s3)


@pytest.mark.parametrize("attempts", [1, 3])
def test_upload_of_whose_begin_nobody_has_heard_is_aborted(authors, s3, settings, attempts):
    settings.STORAGES = {**settings.STORAGES, "default": s3.get_storage(attempts=attempts)}
    s3.fault = lambda operation, number: "cut" if (operation, number) == ("Begin", 1) else None
    if attempts == 1:
        with pytest.raises((ClientError, BotoCoreError)):
            export_large(authors, "unheard.csv")
        assert_failed_and_gone(s3)
    else:
        assert export_large(authors, "unheard.csv").state == ExportState.SUCCESS
        assert s3.operations.count("Begin") == 2
        assert s3.list_uploads() == []


@pytest.mark.parametrize("answer", ["403 Forbidden", "501 Not Implemented"])
def test_key_that_may_not_list_uploads_is_logged_and_no_failure(authors, s3, caplog, answer):
    s3.fault = lambda operation, number: answer if operation == "ListUploads" else None
    assert export_large(authors, "unlisted.csv").state == ExportState.SUCCESS
    assert "May not list the open uploads of 'unlisted.csv'" in caplog.text


def test_small_object_asks_for_no_uploads(authors, s3):
    export_authors("small.csv")
    assert "ListUploads" not in s3.operations


def test_passing_fault_is_outlived(authors, s3, settings):
    settings.STORAGES = {**settings.STORAGES, "default": s3.get_storage(attempts=3)}
    s3.fault = lambda operation, number: ERROR if operation == "Part" and number < 3 else None
    export = export_large(authors, "lucky.csv")
    assert export.state == ExportState.SUCCESS
    assert len(s3.read("lucky.csv")) == export.file_size


def test_object_that_cannot_be_deleted_is_logged(authors, s3, caplog):
    faults = {"Put": "cut", "Delete": ERROR}
    s3.fault = lambda operation, number: faults.get(operation)
    with pytest.raises((ClientError, BotoCoreError, OSError)):
        export_authors("stuck.csv")
    assert "Could not delete 'stuck.csv'" in caplog.text
    assert QueryExport.objects.get().state == ExportState.FAIL


@pytest.mark.parametrize("path", [None, "stuck.csv"])
@pytest.mark.parametrize("faults", [{"Delete": ERROR}, {"Delete": ERROR, "Head": ERROR}])
def test_object_that_could_not_be_deleted_is_deleted_by_a_recovery(
    authors, s3, recover, path, faults
):
    def fail(operation, number):
        if operation == "Put":
            return "cut"
        return faults.get(operation) if "Put" in s3.operations else None

    s3.fault = fail
    with pytest.raises((ClientError, BotoCoreError, OSError)):
        export_authors(path)
    export = QueryExport.objects.get()
    assert (export.state, export.path_key) == (ExportState.FAIL, None)
    assert s3.list_objects() == [Leftover.objects.get().object_name] == [export.file_path]
    assert recover().leftovers == 1
    assert not Leftover.objects.exists()
    assert_failed_and_gone(s3)


def test_object_that_a_stranger_puts_in_the_place_of_a_leftover_is_spared(authors, s3, recover):
    faults = {"Put": "cut", "Delete": ERROR}
    s3.fault = lambda operation, number: faults.get(operation)
    with pytest.raises((ClientError, BotoCoreError, OSError)):
        export_authors("stuck.csv")
    s3.reset()
    size = len(s3.read("stuck.csv"))
    s3.put("stuck.csv", b"x" * size)
    recover()
    assert s3.read("stuck.csv") == b"x" * size
    assert not Leftover.objects.exists()


@pytest.mark.parametrize("operation", ["ListUploads", "Abort"])
@pytest.mark.parametrize("path", [None, "a/named.csv"])
def test_upload_that_could_not_be_aborted_is_aborted_by_a_recovery(
    authors, s3, recover, operation, path, settings
):
    """Without harm to the object of a success."""
    settings.STORAGES = {**settings.STORAGES, "default": s3.get_storage(attempts=3)}

    def fail(asked, number):
        if (asked, number) == ("Begin", 1):
            return "cut"
        return ERROR if asked == operation else None

    s3.fault = fail
    export = export_large(authors, path)
    assert export.state == ExportState.SUCCESS
    s3.fault = lambda operation, number: None
    (upload,) = s3.list_uploads()
    leftover = Leftover.objects.get()
    assert leftover.upload_id == ("" if operation == "ListUploads" else upload["UploadId"])
    assert recover().leftovers == 1
    assert s3.list_uploads() == []
    assert s3.list_objects() == [export.file.name]
    assert not Leftover.objects.exists()


def test_failed_export_sends_nothing(authors, s3, spy):
    spy(lambda number: 1 / (number - 6))
    with pytest.raises(ZeroDivisionError):
        export_large(authors, "never.csv")
    assert set(s3.operations) <= {"Head"}
    assert_failed_and_gone(s3)


def test_existing_object_is_refused_before_any_work(authors, s3):
    s3.put("taken.csv", b"theirs")
    with pytest.raises(FileAlreadyExists):
        export_authors("taken.csv")
    assert s3.read("taken.csv") == b"theirs"
    assert QueryExport.objects.count() == 0


def test_object_that_a_stranger_puts_there_meanwhile_is_spared(authors, s3, spy):
    spy(lambda number: s3.put("contested.csv", b"theirs") if number == 2 else None)
    with pytest.raises(FileAlreadyExists):
        export_authors("contested.csv")
    assert s3.read("contested.csv") == b"theirs"
    assert QueryExport.objects.get().state == ExportState.FAIL


def test_server_that_is_away_fails_before_a_row_exists(authors, s3):
    s3.fault = lambda operation, number: ERROR
    with pytest.raises(ClientError):
        export_authors("away.csv")
    assert QueryExport.objects.count() == 0


def test_of_two_threads_that_race_for_an_object_one_wins(authors, s3):
    assert storages["default"].file_overwrite
    pairs = race(authors, rounds=8)
    assert_one_winner_each(pairs, lambda number: s3.read(f"{number}.csv").decode())
    assert len(s3.list_objects()) == 8


@commits_to_both
def test_objects_expire_go_with_their_rows_and_are_pruned_without_one(authors, s3):
    expired = export_authors("exports/a/expired.csv", expires_in=timedelta(0))
    gone = export_authors("exports/gone.csv", expires_in=timedelta(0))
    deleted = export_authors("exports/deleted.csv")
    kept = export_authors()
    for name in ("exports/a/b/orphan.csv", "exports//odd.csv", "exports/", "outside.csv"):
        s3.put(name, b"")
    s3.client.delete_object(Bucket=BUCKET, Key=gone.file.name)
    deleted.delete()
    call_command("prune_exports", orphans=True, older_than=0)
    spared = [kept.file.name, "exports/", "exports//odd.csv", "outside.csv"]
    assert s3.list_objects() == sorted(spared)
    expired.refresh_from_db()
    assert not expired.file


def test_object_that_cannot_be_deleted_expires_later(authors, s3, caplog):
    export = export_authors("stuck.csv", expires_in=timedelta(0))
    s3.fault = lambda operation, number: ERROR if operation == "Delete" else None
    with pytest.raises(CommandError, match="1 could not be deleted"):
        call_command("prune_exports")
    assert "Could not prune 'stuck.csv'" in caplog.text
    s3.reset()
    QueryExport.objects.update(heartbeat_at=F("heartbeat_at") - timedelta(hours=1))
    call_command("prune_exports")
    assert s3.list_objects() == []
    export.refresh_from_db()
    assert export.file_deleted_at is not None


@pytest.mark.django_db(transaction=True)
def test_a_download_is_a_redirect_to_a_signed_url(authors, s3, client, django_user_model):
    user = django_user_model.objects.create_user("ada")
    client.force_login(user)
    export = export_queryset(authors, COLUMNS, "a/Über.csv", created_by=user)
    response = client.get(f"/api/exports/{export.pk}/download/", headers={"accept": "text/csv"})
    assert response.status_code == 302
    assert response["Cache-Control"] == "private, no-store"
    with urlopen(response["Location"]) as answer:
        assert answer.read() == make_authors_csv(authors)
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert "%C3%9Cber.csv" in answer.headers["Content-Disposition"]
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    # The URL is for GET alone.
    head = client.head(f"/api/exports/{export.pk}/download/")
    assert head.status_code == 200
    assert head["Content-Length"] == str(export.file_size)
    assert "%C3%9Cber.csv" in head["Content-Disposition"]


@pytest.mark.django_db(transaction=True)
def test_a_download_of_an_object_that_is_gone_says_so(authors, s3, client, django_user_model):
    user = django_user_model.objects.create_user("ada")
    client.force_login(user)
    export = export_queryset(authors, COLUMNS, created_by=user)
    s3.clear()
    assert client.get(f"/api/exports/{export.pk}/download/").status_code == 404
    export.refresh_from_db()
    assert (export.file.name, export.state) == ("", ExportState.SUCCESS)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_versioned", [False, True])
@pytest.mark.parametrize("is_signed", [True, False])
def test_an_object_that_somebody_has_replaced_is_neither_sent_nor_deleted(
    authors, s3, settings, client, django_user_model, is_versioned, is_signed
):
    options = {**settings.STORAGES["default"]["OPTIONS"], "querystring_auth": is_signed}
    default = {**settings.STORAGES["default"], "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "default": default}
    user = django_user_model.objects.create_user("ada")
    client.force_login(user)
    if is_versioned:
        s3.set_versioning("Enabled")
    try:
        names = ["sent.csv", "deleted.csv", "expired.csv"]
        exports = [
            export_authors(name, created_by=user, expires_in=timedelta(hours=1)) for name in names
        ]
        for export in exports:
            assert ("version" in export.file_facts) == is_versioned
            assert export.has_own_file()
            s3.put(export.file.name, b"x" * export.file_size)
        sent, deleted, expired = exports
        expired.update(expires_at=expired.created_at)
        assert client.get(f"/api/exports/{sent.pk}/download/").status_code == 404
        assert client.delete(f"/api/exports/{deleted.pk}/").status_code == 204
        call_command("prune_exports", verbosity=0)
        assert sorted(QueryExport.objects.values_list("file", flat=True)) == ["", ""]
        assert [set(s3.read(name)) for name in names] == [set(b"x")] * 3
    finally:
        s3.set_versioning("Suspended")


def test_a_key_that_may_not_look_at_objects_makes_exports(authors, s3, caplog):
    def forbid(operation, number):
        # The path is looked at before it is reserved, and before the file is saved.
        return "403 Forbidden" if operation == "Head" and "Put" in s3.operations else None

    s3.fault = forbid
    export = export_authors("unseen.csv")
    assert (export.state, export.file_facts) == (ExportState.SUCCESS, {})
    assert "tells nothing of 'unseen.csv'" in caplog.text
    s3.reset()
    export.delete()
    assert s3.list_objects() == []


@pytest.mark.django_db(transaction=True)
def test_a_bucket_without_signed_urls_is_streamed(authors, s3, settings, client, django_user_model):
    options = {**settings.STORAGES["default"]["OPTIONS"], "querystring_auth": False}
    default = {**settings.STORAGES["default"], "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "default": default}
    user = django_user_model.objects.create_user("ada")
    client.force_login(user)
    export = export_queryset(authors, COLUMNS, created_by=user)
    response = client.get(f"/api/exports/{export.pk}/download/", headers={"range": "bytes=0-3"})
    assert response.status_code == 206
    assert b"".join(response.streaming_content) == make_authors_csv(authors)[:4]

"""Asking for named exports; how they run is in test_jobs.py."""

from __future__ import annotations

import datetime
import struct
import threading

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.exceptions import PermissionDenied
from django.db import connection, connections, transaction
from django.db.models import TextField, Value
from django.db.models.functions import TruncDate
from django.utils import timezone, translation

from django_infra.exporter.exceptions import (
    ExportNotPermitted,
    FileAlreadyExists,
    HandoverFailed,
    InvalidExport,
    InvalidFilePath,
    InvalidLimit,
    InvalidNamedExport,
    InvalidOwner,
    InvalidParams,
    InvalidSetting,
    LimitExceeded,
    TooManyExports,
    UnknownExport,
    UnknownField,
    UnsupportedFormat,
)
from django_infra.exporter.export import enqueue_export, export_queryset
from django_infra.exporter.jobs.worker import run_job
from django_infra.exporter.models import ExportState, QueryExport
from exporter.conftest import read
from testapp.models import Author, Everything

pytest_plugins = ["exporter.faults.fixtures"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def user():
    user = get_user_model().objects.create_user("ann", "ann@example.com")
    user.user_permissions.add(Permission.objects.get(codename="view_author"))
    return get_user_model().objects.get(pk=user.pk)


@pytest.fixture
def enqueue(django_capture_on_commit_callbacks):
    """Enqueue, and commit as far as a test can."""

    def enqueue(*args, **kwargs):
        with django_capture_on_commit_callbacks(execute=True):
            export = enqueue_export(*args, **kwargs)
        export.refresh_from_db()
        return export

    return enqueue


# ------------------------------------------------------------------------- what becomes of it


def test_default_runner_makes_the_file_at_once(authors, user, enqueue):
    export = enqueue("authors", {"name": "Author 1", "padding": "2"}, created_by=user)
    assert export.state == ExportState.SUCCESS
    names = ["Author 1", *(f"Author {number}" for number in range(10, 20))]
    rows = authors.filter(name__in=names).values_list("id", "name")
    lines = [f"{id},{name},xx\r\n" for id, name in rows]
    assert read(export).decode() == "No.,Name,Padding\r\n" + "".join(lines)
    assert (export.name, export.params) == ("authors", {"name": "Author 1", "padding": "2"})
    assert (export.created_by, export.owner_key) == (user, str(user.pk))
    assert (export.attempt, export.failures) == (1, [])
    assert export.model_label == "testapp.Author"


@pytest.mark.django_db(transaction=True)
def test_returned_row_of_the_default_runner_is_finished(committed_rows, authors):
    export = enqueue_export("authors")
    assert (export.state, export.row_count) == (ExportState.SUCCESS, 50)


def test_class_gets_the_user(user, enqueue):
    export = enqueue("own-books", created_by=user, file_path="own.csv")
    assert export.state == ExportState.SUCCESS
    assert export.file.name == "own.csv"


@pytest.mark.django_db(transaction=True)
def test_runner_gets_the_job_after_the_commit(committed_rows, box):
    with transaction.atomic():
        export = enqueue_export("authors")
        assert (export.state, box) == (ExportState.SCHEDULED, [])
    assert box == [export.id]
    assert QueryExport.objects.get().handed_over_at is not None


@pytest.mark.django_db(transaction=True)
def test_rollback_leaves_neither_row_nor_job(committed_rows, box):
    with transaction.atomic():
        enqueue_export("authors")
        transaction.set_rollback(True)
    assert box == []
    assert not QueryExport.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_runner_that_takes_no_jobs_is_told_to_row_and_caller(committed_rows, settings, media_root):
    settings.EXPORTER_RUNNER = {"BACKEND": "testapp.runners.BrokenRunner"}
    with pytest.raises(HandoverFailed, match="nobody is there") as error:
        enqueue_export("authors", file_path="a.csv")
    assert isinstance(error.value.__cause__, ConnectionError)
    export = QueryExport.objects.get()
    assert export.state == ExportState.FAIL
    assert "BrokenRunner did not take the job: ConnectionError: nobody" in export.error_log
    settings.EXPORTER_RUNNER = {}
    assert enqueue_export("authors", file_path="a.csv").state == ExportState.SUCCESS


def test_error_of_a_job_is_in_its_row(enqueue, declare, caplog):
    @declare()
    def broken(params, user):
        if QueryExport.objects.processing().exists():
            raise ValueError("too late to tell")
        return Author.objects.all()

    export = enqueue("test")
    assert export.state == ExportState.FAIL
    assert "too late to tell" in export.error_log
    assert "too late to tell" in caplog.text


# -------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (UnknownExport, {"name": "nope"}),
        (UnknownExport, {"name": None}),
        (UnknownExport, {"name": ["authors"]}),
        (InvalidParams, {"params": {"nmae": "A"}}),
        (InvalidParams, {"params": {"born_since": "soon"}}),
        (InvalidParams, {"params": "name"}),
        (InvalidOwner, {"created_by": "ann"}),
        (UnsupportedFormat, {"format": "xls"}),
        (UnsupportedFormat, {"file_path": "a.xls"}),
        (InvalidFilePath, {"file_path": "../a.csv"}),
    ],
)
def test_mistake_is_told_before_anything_is_created(box, error, arguments):
    with pytest.raises(error) as raised:
        enqueue_export(**{"name": "authors"} | arguments)
    assert isinstance(raised.value, InvalidExport)
    assert not QueryExport.objects.exists()


def test_values_that_the_queryset_lacks_are_refused_at_once(box, declare):
    declare(values=["id", "nope"])(lambda params, user: Author.objects.all())
    with pytest.raises(UnknownField, match="nope"):
        enqueue_export("test")
    assert not QueryExport.objects.exists()


def test_format_must_be_one_of_those_offered(box, declare, settings):
    settings.EXPORTER_FORMATS = {"tsv": {"BACKEND": "django_infra.exporter.writers.csv.CSVWriter"}}
    declare(formats=["tsv"])(lambda params, user: Author.objects.all())
    assert enqueue_export("test").format == "tsv"
    with pytest.raises(UnsupportedFormat, match=r"'csv'. Supported: 'tsv'"):
        enqueue_export("test", format="csv")
    with pytest.raises(UnsupportedFormat):
        enqueue_export("test", file_path="a.csv")


def test_declaration_that_cannot_work_is_refused(box, declare):
    declare(values=[])(lambda params, user: Author.objects.all())
    with pytest.raises(InvalidNamedExport):
        enqueue_export("test")


@pytest.mark.parametrize(
    "runner",
    [
        "inline",
        {"BACKEND": "nope.Runner"},
        {"BACKEND": "testapp.models.Author"},
        {"BACKEND": "testapp.runners.BoxRunner", "OPTIONS": {"queue": "a"}},
        {"BACKEND": None},
    ],
)
def test_runner_that_cannot_be_used_is_told_before_the_row(settings, runner):
    settings.EXPORTER_RUNNER = runner
    with pytest.raises(InvalidSetting, match="EXPORTER_RUNNER"):
        enqueue_export("authors")
    assert not QueryExport.objects.exists()


def test_path_is_reserved_while_the_job_waits(box):
    enqueue_export("authors", file_path="a.csv")
    with pytest.raises(FileAlreadyExists):
        enqueue_export("authors", file_path="a.csv")


# ----------------------------------------------------------------------------- permissions


@pytest.mark.parametrize("change", ["no permission", "inactive"])
def test_user_who_may_not_is_refused(box, user, change):
    if change == "inactive":
        user.is_active = False
    else:
        user = get_user_model().objects.create_user("bob")
    with pytest.raises(ExportNotPermitted, match="may not run the export 'authors'") as error:
        enqueue_export("authors", created_by=user)
    assert isinstance(error.value, PermissionDenied)
    assert not QueryExport.objects.exists()


def test_export_may_need_a_user(box, declare, user):
    declare(needs_user=True)(lambda params, user: Author.objects.filter(email=user.email))
    with pytest.raises(ExportNotPermitted, match="'test' needs a user"):
        enqueue_export("test")
    assert enqueue_export("test", created_by=user)


def test_permission_comes_before_the_parameters(box):
    stranger = get_user_model().objects.create_user("bob")
    with pytest.raises(ExportNotPermitted):
        enqueue_export("authors", {"nope": 1}, created_by=stranger)


@pytest.mark.parametrize("change", ["no permission", "inactive", "deleted"])
def test_user_who_may_no_longer_gets_no_file(authors, box, user, media_root, change):
    export = enqueue_export("authors", created_by=user)
    if change == "no permission":
        user.user_permissions.clear()
    elif change == "inactive":
        get_user_model().objects.update(is_active=False)
    else:
        user.delete()
    with pytest.raises(ExportNotPermitted):
        run_job(export.id)
    export.refresh_from_db()
    assert export.state == ExportState.FAIL
    assert "ExportNotPermitted" in export.error_log
    assert not media_root.exists()


# ------------------------------------------------------------------- language and time zone


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("America/New_York", "2026-02-28"),
        (datetime.timezone(datetime.timedelta(hours=2)), "2026-03-01"),
        (timezone.get_fixed_timezone(-270), "2026-02-28"),
        ("UTC", "2026-03-01"),
    ],
)
def test_worker_reads_clocks_as_the_one_who_asked(box, declare, zone, day):
    if not connection.features.has_zoneinfo_database:
        pytest.skip("this server knows no time zones")
    Everything.objects.create(datetime=datetime.datetime(2026, 3, 1, 1, tzinfo=datetime.UTC))

    @declare(values={"day": translation.gettext_lazy("Monday"), "label": "Label"})
    def days(params, user):
        label = Value(str(translation.gettext("Yes")), output_field=TextField())
        return Everything.objects.annotate(day=TruncDate("datetime"), label=label)

    with timezone.override(zone), translation.override("de"):
        export = enqueue_export("test")
    assert translation.get_language() == "en-us"
    run_job(export.id)
    export.refresh_from_db()
    assert read(export).decode() == f"Montag,Label\r\n{day},Ja\r\n"
    assert translation.get_language() == "en-us"
    assert timezone.get_current_timezone_name() == "UTC"


@pytest.mark.parametrize(
    "language", ["../planted/evil", "evil", "", "zz", "en\\..\\evil", "/", "de/../evil"]
)
def test_worker_loads_no_catalogue_but_of_a_language_of_the_project(
    box, declare, settings, tmp_path, language
):
    """Whoever can write to the row, or a file near a catalogue, is not to bring both together."""
    for root in (tmp_path / "planted", tmp_path / "locale"):
        folder = root / "evil" / "LC_MESSAGES"
        folder.mkdir(parents=True)
        (folder / "django.mo").write_bytes(make_catalogue({"Yes": "Planted"}))
    settings.LOCALE_PATHS = [tmp_path / "locale"]

    @declare(values=["label"])
    def labels(params, user):
        label = Value(str(translation.gettext("Yes")), output_field=TextField())
        return Everything.objects.annotate(label=label)

    Everything.objects.create()
    export = enqueue_export("test")
    QueryExport.objects.filter(pk=export.pk).update(language=language)
    run_job(export.id)
    export.refresh_from_db()
    assert read(export).decode() == "label\r\nYes\r\n"


def make_catalogue(messages):
    """Return the messages as a catalogue that gettext reads."""
    pairs = sorted({"": "Content-Type: text/plain; charset=UTF-8\n", **messages}.items())
    texts, tables = b"", ([], [])
    start = 28 + 16 * len(pairs)
    for column in (0, 1):
        for pair in pairs:
            text = pair[column].encode()
            tables[column].append(struct.pack("<II", len(text), start + len(texts)))
            texts += text + b"\0"
    header = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0)
    return header + b"".join(tables[0] + tables[1]) + texts


# ---------------------------------------------------------------------------------- limits


@pytest.mark.parametrize("where", ["argument", "setting", "both"])
@pytest.mark.parametrize(
    ("limit", "fact", "message"),
    [
        ("max_rows", "row_count", "Too many rows: an export may have 49."),
        ("max_file_size", "file_size", "Too large a file: an export may have"),
    ],
)
def test_export_beyond_a_limit_fails(authors, settings, media_root, where, limit, fact, message):
    def export(value):
        if where != "argument":
            # An export's own limit stands for that of the setting.
            setattr(settings, f"EXPORTER_{limit.upper()}", value if where == "setting" else 1)
        return export_queryset(
            authors, ["id", "name"], **({} if where == "setting" else {limit: value})
        )

    most = getattr(export_queryset(authors, ["id", "name"]), fact)
    assert getattr(export(most), fact) == most
    with pytest.raises(LimitExceeded, match=message):
        export(most - 1)
    failed = QueryExport.objects.failed().get()
    assert message in failed.error_log
    assert not (media_root / failed.file_path).exists()


def test_limits_of_a_named_export_hold_instead_of_the_settings(authors, settings, declare, enqueue):
    settings.EXPORTER_MAX_ROWS = 10
    declare(max_rows=50, expires_in=datetime.timedelta(days=2))(lambda params, user: authors)
    export = enqueue("test")
    assert export.state == ExportState.SUCCESS
    assert export.expires_at - export.finished_at == datetime.timedelta(days=2)
    assert "Too many rows" in enqueue("authors").error_log


@pytest.mark.parametrize(
    "limit",
    [
        {"max_rows": 0},
        {"max_rows": "10"},
        {"max_rows": True},
        {"max_file_size": -1},
        {"expires_in": 60},
        {"expires_in": datetime.timedelta(-1)},
    ],
)
def test_limit_that_is_none_is_refused(authors, limit):
    with pytest.raises(InvalidLimit, match=rf"{next(iter(limit))} is"):
        export_queryset(authors, ["id"], **limit)
    assert not QueryExport.objects.exists()


def test_user_may_have_so_many_unfinished_exports(box, settings, user):
    settings.EXPORTER_MAX_ACTIVE_PER_USER = 2
    first = enqueue_export("authors", created_by=user)
    enqueue_export("authors", created_by=user)
    with pytest.raises(TooManyExports, match=r"2 unfinished exports, and .* allows 2"):
        enqueue_export("authors", created_by=user)
    with pytest.raises(TooManyExports):
        export_queryset(Author.objects.all(), ["id"], created_by=user)
    enqueue_export("authors")  # of nobody
    first.cancel(by=user)
    enqueue_export("authors", created_by=user)
    assert QueryExport.objects.unfinished().count() == 3


@pytest.mark.django_db(transaction=True)
def test_limit_of_a_user_holds_for_requests_at_once(committed_rows, box, settings, user):
    settings.EXPORTER_MAX_ACTIVE_PER_USER = 3
    barrier, outcomes = threading.Barrier(8), []

    def ask():
        barrier.wait()
        try:
            outcomes.append(enqueue_export("authors", created_by=user).state)
        except TooManyExports:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused"] * 5 + ["scheduled"] * 3
    assert len(box) == 3

"""What a worker does with a job; whole worker processes are in test_workers.py."""

from __future__ import annotations

import datetime
import errno
import threading
import time
from contextlib import contextmanager, suppress
from unittest import mock

import pytest
from django import forms
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage
from django.db import OperationalError, connection, connections, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from django_infra.exporter.exceptions import (
    ExportInterrupted,
    ExportNotPermitted,
    InvalidExport,
    LimitExceeded,
    UnknownExport,
)
from django_infra.exporter.export import enqueue_export, export_queryset, schedule_export
from django_infra.exporter.housekeeping.recovery import recover_exports
from django_infra.exporter.jobs import pipeline, progress
from django_infra.exporter.jobs.worker import run_job
from django_infra.exporter.models import ExportState, Leftover, QueryExport
from django_infra.exporter.models.leftover import LeftoverQuerySet
from django_infra.exporter.registry import NamedExport, registry
from django_infra.exporter.signals import (
    export_expired,
    export_failed,
    export_finished,
    export_started,
)
from django_infra.exporter.writers.csv import CSVWriter
from exporter.conftest import read
from exporter.faults.authors import make_authors
from exporter.faults.probes import STALLING, find_files, wait_until
from testapp.models import Author

pytest_plugins = ["exporter.faults.fixtures"]
pytestmark = [
    # With the tables of users, whom an export belongs to.
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("committed_rows"),
]

SIGNALS = [export_started, export_finished, export_failed, export_expired]


class FlakyStorage(InMemoryStorage):
    """Break as often as is said, in the middle of a file that stays there."""

    errors = []

    def _save(self, name, content):
        if not self.errors:
            return super()._save(name, content)
        content.read(3)
        raise self.errors.pop(0)


@pytest.fixture
def errors(settings, monkeypatch):
    """Give the errors that the storage raises, one after the other."""
    monkeypatch.setattr(FlakyStorage, "errors", [])
    settings.EXPORTER_RETRY_DELAY = 0.01
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": f"{__name__}.FlakyStorage"}}
    return FlakyStorage.errors


@pytest.fixture
def signals():
    """Collect what is sent, and what the row says at the time."""
    sent = []

    def receive(signal, export, **kwargs):
        row = QueryExport.objects.filter(pk=export.pk).first()
        sent.append((SIGNALS.index(signal), row.state if row else None, connection.in_atomic_block))

    for signal in SIGNALS:
        signal.connect(receive)
    yield sent
    for signal in SIGNALS:
        signal.disconnect(receive)


STARTED, FINISHED, FAILED, EXPIRED = range(4)


def age(**filters):
    """Let time pass for the rows."""
    hour = datetime.timedelta(hours=1)
    QueryExport.objects.filter(**filters).update(
        heartbeat_at=F("heartbeat_at") - hour, handed_over_at=F("handed_over_at") - hour
    )


def run_in_thread(export):
    """Run the job as a worker would; return the thread and the list of what it raised."""
    raised = []

    def run():
        try:
            run_job(export.id)
        except BaseException as error:
            raised.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


# ------------------------------------------------------------------------------- attempts


def test_transient_errors_are_tried_again_and_kept(authors, box, errors, signals):
    errors += [ConnectionError("first"), TimeoutError("second")]
    export = enqueue_export("authors", file_path="a.csv")
    run_job(export.id)
    export.refresh_from_db()
    assert export.state == ExportState.SUCCESS
    assert export.attempt == 3
    assert [(failure["attempt"], failure["error"]) for failure in export.failures] == [
        (1, "ConnectionError: first"),
        (2, "TimeoutError: second"),
    ]
    assert export.error_log == ""
    assert read(export).count(b"\r\n") == 51
    assert export.file.name.startswith("a-3-")
    assert export.file.name.endswith(".csv")
    assert export.storage.listdir("") == ([], [export.file.name])
    assert signals == [(STARTED, "processing", False), (FINISHED, "success", False)]


def test_last_attempt_ends_the_job(authors, box, errors, signals):
    errors += [ConnectionError("first"), ConnectionError("second"), ConnectionError("third")]
    export = enqueue_export("authors")
    with pytest.raises(ConnectionError, match="third"):
        run_job(export.id)
    export.refresh_from_db()
    assert (export.state, export.attempt) == (ExportState.FAIL, 3)
    assert "third" in export.error_log
    assert [failure["error"] for failure in export.failures] == [
        "ConnectionError: first",
        "ConnectionError: second",
    ]
    assert export.storage.listdir("") == ([], [])
    assert signals == [(STARTED, "processing", False), (FAILED, "fail", False)]


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "no"),
        ValueError("no"),
        OSError(errno.ENAMETOOLONG, "no"),
        OSError(errno.ENOSPC, "no"),
        OSError(errno.EDQUOT, "no"),
    ],
)
def test_other_errors_end_the_job_at_once(authors, box, errors, error):
    errors += [error]
    export = enqueue_export("authors")
    with pytest.raises(type(error)):
        run_job(export.id)
    export.refresh_from_db()
    assert (export.state, export.attempt, export.failures) == (ExportState.FAIL, 1, [])


def test_number_of_attempts_is_a_setting(authors, box, errors, settings):
    settings.EXPORTER_MAX_ATTEMPTS = 1
    errors += [ConnectionError("first")]
    export = enqueue_export("authors")
    with pytest.raises(ConnectionError):
        run_job(export.id)


def test_attempts_wait_ever_longer(authors, box, errors, settings):
    settings.EXPORTER_RETRY_DELAY = 0.1
    errors += [ConnectionError("first"), ConnectionError("second")]
    export = enqueue_export("authors")
    started = time.monotonic()
    run_job(export.id)
    assert time.monotonic() - started >= 0.1 + 0.2


def test_job_is_cancelled_between_two_attempts(authors, box, errors, settings, in_a_hurry):
    settings.EXPORTER_RETRY_DELAY = 3600
    errors += [ConnectionError("first")]
    export = enqueue_export("authors", file_path="a.csv")
    thread, raised = run_in_thread(export)
    wait_until(lambda: QueryExport.objects.filter(attempt=2).exists())
    assert export.cancel()
    thread.join()
    assert raised == []
    export.refresh_from_db()
    assert export.state == ExportState.FAIL
    assert "Cancelled at" in export.error_log
    assert export.path_key is None
    assert [failure["error"] for failure in export.failures] == ["ConnectionError: first"]


def wait_for_beats(count, **filters):
    """Wait until so many different heartbeats of the only export have been seen."""
    beats = set()

    def has_beaten():
        beats.update(QueryExport.objects.filter(**filters).values_list("heartbeat_at", flat=True))
        return len(beats) >= count

    wait_until(has_beaten)


def test_heartbeats_come_while_the_queryset_is_built_and_between_attempts(
    authors, box, declare, errors, settings, in_a_hurry
):
    @declare()
    def patient(params, user):
        # When it is asked for, nothing is processing yet.
        if QueryExport.objects.processing().exists():
            wait_for_beats(5)
        return authors

    settings.EXPORTER_RETRY_DELAY = 60
    errors += [ConnectionError("first")]
    export = enqueue_export("test")
    thread, raised = run_in_thread(export)
    wait_for_beats(3, attempt=2)
    assert export.cancel()
    thread.join()
    assert raised == []


# ------------------------------------------------------------------------ once, and by one


def test_second_message_changes_nothing(authors, box):
    export = enqueue_export("authors")
    run_job(export.id)
    facts = QueryExport.objects.values().get()
    run_job(export.id)
    assert QueryExport.objects.values().get() == facts


@pytest.mark.parametrize(
    "export_id", ["nope", "", "\0", "\ud800", "x" * 10_000, "'; DROP TABLE x", None, 7, ["a"]]
)
def test_message_of_no_job_is_a_logged_no_op(export_id, caplog):
    caplog.set_level("INFO")
    run_job(export_id)
    assert "is not scheduled" in caplog.text


def test_job_whose_export_is_no_longer_registered_fails(authors, box, declare):
    declare()(lambda params, user: Author.objects.all())
    export = enqueue_export("test")
    registry.exports.pop()
    with pytest.raises(UnknownExport):
        run_job(export.id)
    export.refresh_from_db()
    assert export.state == ExportState.FAIL


def test_heartbeats_come_while_the_checksum_is_computed(
    authors, box, settings, in_a_hurry, temp_dir
):
    settings.EXPORTER_FORMATS = {"csv": {"BACKEND": "exporter.faults.writers.SparseCSVWriter"}}
    export = enqueue_export("authors")
    thread, _ = run_in_thread(export)
    wait_until(lambda: find_files(temp_dir))
    # Seen after the last row, and before anything is saved.
    beats = QueryExport.objects.filter(row_count__gt=0, delivery_started_at=None)
    wait_until(beats.exists)
    last = beats.get().heartbeat_at
    wait_until(beats.filter(heartbeat_at__gt=last).exists)
    assert export.cancel()
    thread.join()


@pytest.fixture
def chosen(declare):
    """The columns of an export that is declared by them, at the time."""
    names = ["id", "name"]

    @declare()
    class Chosen(NamedExport):
        def get_queryset(self, params, user):
            return Author.objects.order_by("pk")

        def get_values(self, params, user):
            return names

    return names


def describe(*names):
    return [{"name": name, "header": name} for name in names]


def get_columns():
    return QueryExport.objects.get().columns


@pytest.mark.parametrize("fails", [False, True])
def test_columns_are_known_at_once_and_corrected_by_the_job(authors, box, chosen, settings, fails):
    export = enqueue_export("test")
    assert get_columns() == describe("id", "name")
    chosen[:] = ["email"]
    settings.EXPORTER_MAX_ROWS = 1 if fails else None
    with suppress(LimitExceeded):
        run_job(export.id)
    assert QueryExport.objects.get().state == (ExportState.FAIL if fails else ExportState.SUCCESS)
    assert get_columns() == describe("email")


def test_columns_are_corrected_while_the_job_runs(box, chosen, settings, monkeypatch):
    monkeypatch.setattr(progress, "INTERVAL", 0.1)
    make_authors(100)
    settings.EXPORTER_CHUNK_SIZE = 1
    settings.EXPORTER_FORMATS = {
        "csv": {
            "BACKEND": "exporter.faults.writers.SpiedCSVWriter",
            "OPTIONS": {"on_chunk": "exporter.faults.jobs.nap"},
        }
    }
    export = enqueue_export("test")
    chosen[:] = ["email"]
    thread, _ = run_in_thread(export)
    wait_until(lambda: get_columns() == describe("email"))
    assert export.cancel()
    thread.join(30)
    assert get_columns() == describe("email")


def test_columns_stay_where_the_job_cannot_be_made(authors, box, chosen):
    export = enqueue_export("test")
    chosen[:] = ["nope"]
    with pytest.raises(InvalidExport):
        run_job(export.id)
    assert get_columns() == describe("id", "name")


def test_columns_that_are_right_are_not_written_again(authors, box, chosen):
    export = enqueue_export("test")
    with CaptureQueriesContext(connection) as queries:
        run_job(export.id)
    updates = [query["sql"] for query in queries if query["sql"].startswith("UPDATE")]
    assert len(updates) == 3
    assert not any("columns" in sql for sql in updates)


@pytest.mark.parametrize(("guard", "cell"), [("on", "'=1"), ("off", "=1")])
def test_options_can_depend_on_the_parameters(box, declare, guard, cell):
    class GuardForm(forms.Form):
        guard = forms.CharField()

    @declare(form_class=GuardForm, values=["name"], is_listed=False)
    class Guarded(NamedExport):
        def get_queryset(self, params, user):
            return Author.objects.all()

        def get_options(self, params, user):
            return {"escape_formulas": params["guard"] == "on"}

    Author.objects.create(name="=1")
    export = enqueue_export("test", {"guard": guard})
    run_job(export.id)
    export.refresh_from_db()
    assert read(export) == f"name\r\n{cell}\r\n".encode()


def test_options_that_do_not_suit_are_told_before_the_row(declare):
    @declare()
    class Wrong(NamedExport):
        def get_queryset(self, params, user):
            return Author.objects.all()

        def get_options(self, params, user):
            return {"nope": user}

    with pytest.raises(InvalidExport, match="do not suit the format 'csv'"):
        enqueue_export("test")
    assert not QueryExport.objects.exists()


def test_job_of_a_tampered_row_fails(authors, box):
    export = enqueue_export("authors")
    QueryExport.objects.update(params={"nope": "1"}, time_zone="Mars/Olympus")
    with pytest.raises(Exception, match=r"Olympus|nope"):
        run_job(export.id)
    export.refresh_from_db()
    assert export.state == ExportState.FAIL


# ------------------------------------------------------------------------------- recovery


def lose(export, attempt=1):
    """Leave the export as a worker would that is killed in the middle."""
    assert export.claim(f"token {attempt}")
    age(pk=export.pk)


def test_lost_job_is_handed_over_again(authors, box, settings):
    export = enqueue_export("authors")
    lose(export)
    assert recover_exports(box.append).rescheduled == 1
    assert recover_exports(box.append).rescheduled == 0
    assert box == [export.id, export.id]
    export.refresh_from_db()
    assert (export.state, export.attempt, export.token) == (ExportState.SCHEDULED, 1, "")
    assert "Worker lost" in export.failures[0]["error"]
    run_job(export.id)
    export.refresh_from_db()
    assert (export.state, export.attempt) == (ExportState.SUCCESS, 2)


def test_every_claim_looks_for_lost_jobs(authors, box):
    lost, other = enqueue_export("authors"), enqueue_export("authors")
    lose(lost)
    box.clear()
    run_job(other.id, hand_over=box.append)
    assert box == [lost.id]


def test_job_that_is_lost_too_often_fails(authors, box, settings, signals):
    settings.EXPORTER_MAX_ATTEMPTS = 2
    export = enqueue_export("authors")
    lose(export)
    recover_exports(box.append)
    export.refresh_from_db()
    lose(export, attempt=2)
    recovery = recover_exports(box.append)
    assert (recovery.rescheduled, recovery.failed) == (0, 1)
    export.refresh_from_db()
    assert export.state == ExportState.FAIL
    assert "Worker lost: no heartbeat for 60 seconds in attempt 2." in export.error_log
    assert len(export.failures) == 1
    assert signals == [(FAILED, "fail", False)]


def test_lost_job_of_the_inline_runner_fails(authors, box, settings):
    export = enqueue_export("authors")
    lose(export)
    settings.EXPORTER_RUNNER = {}
    export_queryset(authors, ["id"])
    export.refresh_from_db()
    assert export.state == ExportState.FAIL


def test_job_that_nobody_took_is_handed_over_again(authors, box, settings):
    export = enqueue_export("authors")
    settings.EXPORTER_HANDOVER_TIMEOUT = 3000
    assert recover_exports(box.append).handed_over == 0
    age()
    assert recover_exports(box.append).handed_over == 1
    assert recover_exports(box.append).handed_over == 0
    assert box == [export.id, export.id]
    export.refresh_from_db()
    assert export.state == ExportState.SCHEDULED
    assert export.failures == []


def test_runner_that_is_away_does_not_keep_others_from_being_recovered(authors, box, caplog):
    first, second = enqueue_export("authors"), enqueue_export("authors")
    lose(first)
    lose(second)

    def refuse(export_id):
        raise ConnectionError("nobody is there")

    assert recover_exports(refuse).rescheduled == 2
    assert caplog.text.count("could not be handed over again") == 2
    age()
    assert recover_exports(box.append).handed_over == 2


def test_stray_temporary_files_are_removed(authors, box, temp_dir):
    export = enqueue_export("authors")
    export.claim("token")
    done = export_queryset(authors, ["id"])
    other = done.id[:-1] + ("a" if done.id[-1] != "a" else "b")
    kept = {f"{export.id}-1.part", f"{other}-1.part", "notes.part", f"{export.id}-1.txt"}
    strays = {f"{done.id}-1.part", f"{export.id}-0.part"}
    for name in kept | strays:
        (temp_dir / name).touch()
    assert recover_exports().stray_files == 2
    assert set(find_files(temp_dir)) == kept


# ----------------------------------------------------------------------------- cancelling


@pytest.fixture
def user():
    return get_user_model().objects.create_user("ann")


def test_scheduled_job_is_cancelled_at_once(authors, box, user, signals):
    export = enqueue_export("authors", file_path="a.csv")
    assert export.cancel(by=user)
    export.refresh_from_db()
    assert export.state == ExportState.FAIL
    assert "Cancelled by ann at 20" in export.error_log
    assert export.path_key is None
    assert signals == [(FAILED, "fail", False)]
    run_job(export.id)
    assert QueryExport.objects.get().state == ExportState.FAIL
    assert not export.cancel(by=user)


@pytest.mark.parametrize("phase", ["building", "sorting", "streaming", "hashing", "saving"])
def test_running_job_is_cancelled_within_two_heartbeats(
    box, declare, user, settings, media_root, temp_dir, in_a_hurry, beats, phase
):
    make_authors(1000)

    @declare(values=["id", "name"])
    def authors(params, user):
        # When it is asked for, nothing is processing yet.
        if phase == "building" and QueryExport.objects.processing().exists():
            wait_until(QueryExport.objects.failed().exists)
        rows = Author.objects.order_by("pk")
        if phase == "sorting":
            rows = rows.extra(where=[STALLING[connection.vendor]])
        return rows

    if phase == "saving":
        backend = f"{__name__}.EndlessStorage"
        settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    if phase == "hashing":
        settings.EXPORTER_FORMATS = {"csv": {"BACKEND": "exporter.faults.writers.SparseCSVWriter"}}
    if phase == "streaming":
        settings.EXPORTER_CHUNK_SIZE = 1
        settings.EXPORTER_FORMATS = {
            "csv": {
                "BACKEND": "exporter.faults.writers.SpiedCSVWriter",
                "OPTIONS": {"on_chunk": "exporter.faults.jobs.nap"},
            }
        }
    export = enqueue_export("test", file_path="a.csv")
    thread, raised = run_in_thread(export)
    wait_until(QueryExport.objects.processing().exists)
    if phase in ("hashing", "saving"):  # the last row has been written
        wait_until(QueryExport.objects.filter(row_count=1000).exists)
    wait_for_beats(3)
    assert export.cancel(by=user)
    before = len(beats)
    thread.join()
    # The one that is under way, and the one that learns of it.
    assert len(beats) - before <= 2
    assert raised == []
    export.refresh_from_db()
    assert export.state == ExportState.FAIL
    assert "Cancelled by ann" in export.error_log
    assert export.path_key is None
    assert find_files(media_root, temp_dir) == []


@pytest.fixture
def beats(monkeypatch):
    """Note the heartbeats that are given."""
    beats = []
    beat = QueryExport.beat

    def note_beat(export, **kwargs):
        beats.append(export.pk)
        return beat(export, **kwargs)

    monkeypatch.setattr(QueryExport, "beat", note_beat)
    return beats


class EndlessStorage(InMemoryStorage):
    """Read the file again and again, as slowly as a network."""

    def _save(self, name, content):
        while True:
            content.seek(0)
            content.read(10)
            time.sleep(0.1)


def test_cancelled_export_of_a_dead_worker_is_cleaned_up(authors, box, media_root, temp_dir):
    export = enqueue_export("authors", file_path="a.csv")
    export.claim("token")
    export.begin_delivery()
    (temp_dir / f"{export.temp_name}.part").touch()
    media_root.mkdir()
    (media_root / "a.csv").hardlink_to(temp_dir / f"{export.temp_name}.part")
    assert export.cancel()
    # Its worker may still be there.
    recover_exports()
    assert len(find_files(media_root, temp_dir)) == 2
    with pytest.raises(ValueError, match="already exists"):
        enqueue_export("authors", file_path="a.csv")
    age()
    recover_exports()
    assert find_files(media_root, temp_dir) == []
    export.refresh_from_db()
    assert export.path_key is None
    assert "Cancelled" in export.error_log


def test_synchronous_export_is_cancelled_too(spy, in_a_hurry):
    make_authors(50)

    def cancel():
        QueryExport.objects.get().cancel()
        connections.close_all()

    def cancel_elsewhere(number):
        # The connection of the export is busy.
        if number == 3:
            thread = threading.Thread(target=cancel)
            thread.start()
            thread.join()
        elif number > 3:
            time.sleep(0.05)

    spy(cancel_elsewhere, chunk_size=1)
    with pytest.raises(ExportInterrupted):
        export_queryset(Author.objects.all(), ["id"])
    assert "Cancelled" in QueryExport.objects.get().error_log


# -------------------------------------------------------------------------------- signals


def test_error_of_a_receiver_harms_no_export(authors, caplog):
    def break_down(**kwargs):
        raise RuntimeError("the receiver is broken")

    for signal in SIGNALS:
        signal.connect(break_down)
    try:
        assert export_queryset(authors, ["id"]).state == ExportState.SUCCESS
    finally:
        for signal in SIGNALS:
            signal.disconnect(break_down)
    assert caplog.text.count("the receiver is broken") >= 2


def test_signals_of_a_synchronous_export(authors, signals):
    export_queryset(authors, ["id"])
    with pytest.raises(LimitExceeded):
        export_queryset(authors, ["id"], max_rows=1)
    assert signals == [
        (STARTED, "processing", False),
        (FINISHED, "success", False),
        (STARTED, "processing", False),
        (FAILED, "fail", False),
    ]


def test_signals_wait_for_the_commit(authors, signals):
    with transaction.atomic():
        export_queryset(authors, ["id"])
        assert signals == []
    assert [signal for signal, _, _ in signals] == [STARTED, FINISHED]
    with transaction.atomic():
        export_queryset(authors, ["id"])
        transaction.set_rollback(True)
    assert len(signals) == 2


def test_whoever_watches_hears_of_the_rows_that_pass():
    make_authors(50)
    seen = []

    run_job(schedule_export("authors").id, watch=lambda *counts: seen.append(counts))

    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == ((1, None), (50, None))


# -------------------------------------------------------- what an attacker has found


def test_job_of_the_inline_runner_that_nobody_began_fails(authors, box, settings):
    export = enqueue_export("authors", file_path="a.csv")
    age()
    settings.EXPORTER_RUNNER = {}
    assert enqueue_export("authors").state == ExportState.SUCCESS
    export.refresh_from_db()
    assert (export.state, export.path_key) == (ExportState.FAIL, None)
    assert "not begun within 300 seconds" in export.error_log


def test_autocommit_that_is_off_is_told_before_the_row(authors):
    connection.set_autocommit(False)
    try:
        with pytest.raises(InvalidExport, match="autocommit is off"):
            enqueue_export("authors")
    finally:
        connection.rollback()
        connection.set_autocommit(True)
    assert not QueryExport.objects.exists()


def test_few_are_handed_over_again_by_those_who_ask(authors, box):
    first = [enqueue_export("authors").id for _ in range(25)]
    age()
    box.clear()
    last = enqueue_export("authors")
    assert len(box) == 21
    assert set(box) <= {*first, last.id}
    assert recover_exports(box.append).handed_over == 5


@pytest.mark.parametrize("change", ["permission", "active", "deleted"])
def test_permission_is_asked_for_again_before_each_attempt(authors, box, errors, user, change):
    user.user_permissions.add(Permission.objects.get(codename="view_author"))
    user = get_user_model().objects.get(pk=user.pk)

    class ChangingError(ConnectionError):
        """What ends the first attempt, when the permission has just been taken away."""

        def __init__(self):
            if change == "permission":
                user.user_permissions.clear()
            elif change == "active":
                get_user_model().objects.update(is_active=False)
            else:
                user.delete()

    errors += [ChangingError]
    export = enqueue_export("authors", created_by=user)
    with pytest.raises(ExportNotPermitted):
        run_job(export.id)
    export.refresh_from_db()
    assert (export.state, export.attempt) == (ExportState.FAIL, 2)


def test_heartbeats_come_while_receivers_are_at_work(authors, box, in_a_hurry):
    def take_long(**kwargs):
        wait_for_beats(5)

    export_started.connect(take_long)
    try:
        export = enqueue_export("authors")
        run_job(export.id)
    finally:
        export_started.disconnect(take_long)
    export.refresh_from_db()
    assert (export.state, export.attempt) == (ExportState.SUCCESS, 1)


def test_late_worker_spares_the_file_of_its_successor(authors, box, settings):
    """In a storage that replaces what has the same name."""
    backend = f"{__name__}.ReplacingStorage"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
    export = enqueue_export("authors", file_path="a.csv")
    thread, raised = run_in_thread(export)
    wait_until(lambda: QueryExport.objects.filter(delivery_started_at__isnull=False).exists())
    export.cancel()
    # As if its process had been stopped for longer than the lease.
    QueryExport.objects.update(path_key=None)
    winner = export_queryset(authors, ["id"], "a.csv")
    ReplacingStorage.may_go_on.set()
    thread.join()
    assert raised == []
    assert winner.storage.exists("a.csv")
    assert QueryExport.objects.get(pk=winner.pk).state == ExportState.SUCCESS


class ReplacingStorage(InMemoryStorage):
    """Let the first who saves wait until the second has."""

    may_go_on = threading.Event()
    is_first = True

    def get_available_name(self, name, max_length=None):
        return name

    def _save(self, name, content):
        if type(self).is_first:
            type(self).is_first = False
            self.may_go_on.wait(30)
        if self.exists(name):
            self.delete(name)
        # What the reader is told of the cancellation comes too late.
        content.check = lambda: None
        return super()._save(name, content)


def test_cancelled_attempt_keeps_its_path_until_its_worker_has_stopped(authors, box):
    export = enqueue_export("authors", file_path="a.csv")
    lose(export)
    recover_exports(box.append)
    assert export.cancel()
    export.refresh_from_db()
    assert (export.state, export.attempt) == (ExportState.FAIL, 1)
    assert export.path_key
    age()
    recover_exports(box.append)
    export.refresh_from_db()
    assert export.path_key is None


@pytest.mark.parametrize("can_remember", [True, False])
def test_job_goes_on_when_what_was_left_of_it_is_remembered(
    authors, box, settings, monkeypatch, can_remember
):
    if not can_remember:
        monkeypatch.setattr(LeftoverQuerySet, "remember", mock.Mock(side_effect=OperationalError))
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": f"{__name__}.LockedStorage"}}
    export = enqueue_export("authors", file_path="a.csv")
    export.claim("token")
    export.begin_delivery()
    export.storage.save("a.csv", ContentFile(b"a part of it"))
    age()
    recover_exports(box.append)
    run_job(export.id)
    export.refresh_from_db()
    if can_remember:
        assert (export.state, export.attempt) == (ExportState.SUCCESS, 2)
        assert Leftover.objects.get().object_name == "a.csv" != export.file.name
    else:
        assert (export.state, export.attempt) == (ExportState.SCHEDULED, 1)


class LockedStorage(InMemoryStorage):
    def delete(self, name):
        raise ConnectionError("The line is dead.")


@pytest.mark.parametrize("where", ["header", "trailer"])
def test_limit_of_bytes_holds_for_all_of_the_file(authors, settings, where):
    settings.EXPORTER_FORMATS = {"csv": {"BACKEND": f"{__name__}.TrailingWriter"}}
    rows = authors.none() if where == "header" else authors[:1]
    header = "x" * (100 if where == "header" else 1)
    with pytest.raises(LimitExceeded, match="Too large"):
        export_queryset(rows, {"id": header}, max_file_size=50)


class TrailingWriter(CSVWriter):
    """Write something after the last row, as an archive does."""

    @contextmanager
    def open_text(self, file, headers):
        with super().open_text(file, headers) as text_file:
            yield text_file
        file.write(b"x" * 100)


@pytest.mark.parametrize(
    "storage", ["django.core.files.storage.FileSystemStorage", f"{__name__}.ReplacingStorage"]
)
def test_failure_that_is_not_sure_of_its_file_leaves_it_to_the_recovery(
    authors, settings, monkeypatch, media_root, temp_dir, storage
):
    """The database is away from the success on, until the failure can be told."""
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": storage}}
    monkeypatch.setattr(ReplacingStorage, "is_first", False)
    monkeypatch.setattr(pipeline, "PATIENCE", 0)

    def be_away(*args, **kwargs):
        raise OperationalError("The server is away.")

    with monkeypatch.context() as outage:
        outage.setattr(QueryExport, "succeed", be_away)
        outage.setattr(QueryExport, "preclude_success", be_away)
        with pytest.raises(OperationalError):
            export_queryset(authors, ["id"], "a.csv")
    export = QueryExport.objects.get()
    assert (export.state, export.path_key) == (ExportState.FAIL, export.object_key)
    assert export.storage.exists("a.csv")

    age()
    recover_exports()
    export.refresh_from_db()
    assert export.path_key is None
    assert not export.storage.exists("a.csv")
    assert find_files(media_root, temp_dir) == []


@pytest.mark.parametrize(
    "message",
    ["x" * 10_000_000, "\n" * 100, ["x" * 1000] * 10_000, {"id": "x" * 10_000_000}, b"x" * 10_000],
    ids=["text", "lines", "list", "dict", "bytes"],
)
def test_a_message_that_is_no_id_is_not_logged_whole(caplog, message):
    with caplog.at_level("INFO", "django_infra"), CaptureQueriesContext(connection) as queries:
        run_job(message)
    (record,) = caplog.records
    text = record.getMessage()
    assert text.endswith(" is not scheduled: deleted, cancelled, or taken by another.")
    assert len(text) < 500
    assert "\n" not in text
    assert all(len(query["sql"]) < 10_000 for query in queries)


@pytest.mark.parametrize("has_cause", [False, True])
def test_an_error_with_a_long_text_is_not_logged_whole(caplog, declare, has_cause):
    @declare()
    def faulty(params, user):
        # Nothing is there until a worker asks.
        if QueryExport.objects.exists():
            long = ValueError("x" * 10_000_000)
            if has_cause:
                raise RuntimeError("short") from long
            raise long
        return Author.objects.all()

    export = enqueue_export("test")
    assert export.state == ExportState.FAIL
    assert "failed." in caplog.text
    assert "in faulty" in caplog.text
    assert len(caplog.text) < 50_000

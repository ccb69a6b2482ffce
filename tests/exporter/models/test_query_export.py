from __future__ import annotations

import copy
import datetime
import io
import pickle
import re

import pytest
from django.apps import apps
from django.contrib.auth.models import AnonymousUser, Permission
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InvalidStorageError, storages
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, models, transaction
from django.db.models.signals import pre_save
from django.test.utils import isolate_apps
from django.utils import timezone

from django_infra.db.functions import DatabaseTime
from django_infra.exporter.delivery.paths import MAX_PATH_LENGTH, clean_path
from django_infra.exporter.exceptions import (
    MAX_ERROR_LENGTH,
    FileAlreadyExists,
    InvalidExport,
    add_location,
    describe_error,
)
from django_infra.exporter.models import ExportState, QueryExport
from django_infra.exporter.models.query_export import make_id
from testapp.models import Author, Book
from testapp.routers import ReplicaRouter

pytestmark = pytest.mark.django_db

SECOND = datetime.timedelta(seconds=1)
STATES = list(ExportState)


def schedule(manager=QueryExport.objects, **fields):
    defaults = {"model": Author, "format": "csv", "storage_alias": "default"}
    return manager.schedule(**defaults | fields)


def make_export(state, **fields):
    """Return an export that took the way to the state."""
    export = schedule(**fields)
    if state != ExportState.SCHEDULED:
        assert export.claim("token")
    if state == ExportState.SUCCESS:
        assert export.succeed(row_count=2, file_size=10, job_time=SECOND)
    if state == ExportState.FAIL:
        assert export.fail(ValueError("no"), job_time=SECOND)
    export.refresh_from_db()
    assert export.state == state
    return export


def get_facts(export):
    """Return the columns of the row, as the database has them."""
    (row,) = QueryExport.objects.using(export._state.db).filter(pk=export.pk).values()
    return row


# Schema


def test_there_is_nothing_to_migrate():
    out = io.StringIO()
    call_command("makemigrations", "exporter", check=True, dry_run=True, stdout=out)
    assert "No changes detected" in out.getvalue()


def test_the_states_have_the_fixed_names():
    assert ExportState.choices == [
        ("scheduled", "Scheduled"),
        ("processing", "Processing"),
        ("success", "Success"),
        ("fail", "Fail"),
    ]
    assert QueryExport.State is ExportState


@pytest.mark.parametrize(
    "changes",
    [{"progress_percent": 101}, {"progress_percent": 32767}, {"state": "lost"}, {"state": ""}],
)
def test_the_database_refuses_what_cannot_be(changes):
    export = make_export(ExportState.PROCESSING)
    with pytest.raises(IntegrityError), transaction.atomic():
        QueryExport.objects.filter(pk=export.pk).update(**changes)


@pytest.mark.parametrize("percent", [None, 0, 99, 100])
def test_the_database_takes_every_percentage(percent):
    export = make_export(ExportState.PROCESSING)
    export.update(progress_percent=percent)
    assert get_facts(export)["progress_percent"] == percent


def test_counts_and_sizes_may_be_huge():
    export = make_export(ExportState.PROCESSING)
    days = datetime.timedelta(days=400, microseconds=1)
    assert export.succeed(row_count=2**62, file_size=2**62, job_time=days)
    facts = get_facts(export)
    assert (facts["row_count"], facts["file_size"], facts["job_time"]) == (2**62, 2**62, days)


def test_an_export_outlives_its_owner(django_user_model):
    user = django_user_model.objects.create_user("ada")
    export = schedule(created_by=user)
    user.delete()
    assert get_facts(export)["created_by_id"] is None


def test_exports_come_newest_first():
    now = timezone.now()
    exports = [schedule() for _ in range(3)]
    for export, hours in zip(exports, (2, 0, 1), strict=True):
        export.update(created_at=now - datetime.timedelta(hours=hours))
    assert list(QueryExport.objects.all()) == [exports[1], exports[2], exports[0]]


# Ids


def test_an_id_is_the_models_name_the_time_in_utc_and_random_characters(settings):
    settings.TIME_ZONE = "Pacific/Kiritimati"
    with timezone.override("Pacific/Kiritimati"):
        before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        match = re.fullmatch(r"Author-(\d{14})-[0-9A-Za-z]{22}", make_id(Author))
    moment = datetime.datetime.strptime(match[1], "%Y%m%d%H%M%S").replace(tzinfo=datetime.UTC)
    assert before <= moment <= datetime.datetime.now(datetime.UTC)


def test_ids_are_random():
    parts = [make_id(Author).rpartition("-")[2] for _ in range(1000)]
    assert len(set(parts)) == 1000
    assert len(set("".join(parts))) == 62


@isolate_apps("testapp")
@pytest.mark.parametrize("letter", ["A", "Ü", "書"])
def test_a_long_model_name_is_cut(letter):
    meta = type("Meta", (), {"app_label": "testapp"})
    namespace = {"__module__": __name__, "Meta": meta}
    model = type(letter * 100, (models.Model,), namespace)
    export = schedule(model=model, path_prefix="exports/")
    assert export.id.startswith(f"{letter * 50}-")
    assert len(export.id) <= QueryExport._meta.pk.max_length
    assert clean_path(export.file_path) == export.file_path
    assert get_facts(export)["model_label"] == f"testapp.{letter * 100}"


# schedule()


def test_a_scheduled_export_knows_what_it_is_to_write(django_user_model):
    user = django_user_model.objects.create_user("ada")
    export = schedule(model=Book, path_prefix="some/where-", created_by=user)
    facts = get_facts(export)
    assert abs(timezone.now() - facts.pop("heartbeat_at")) < datetime.timedelta(minutes=1)
    assert facts == {
        "id": export.id,
        "name": "",
        "params": {},
        "language": "",
        "time_zone": "",
        "model_label": "testapp.Book",
        "format": "csv",
        "state": "scheduled",
        "created_by_id": user.pk,
        "owner_key": str(user.pk),
        "handed_over_at": None,
        "attempt": 0,
        "failures": [],
        "token": "",
        "created_at": export.created_at,
        "start_time": None,
        "finished_at": None,
        "job_time": None,
        "delivery_started_at": None,
        "columns": [],
        "data_path": "",
        "row_count": None,
        "progress_percent": None,
        "storage_alias": "default",
        "file_path": f"some/where-{export.id}.csv",
        "object_name": f"some/where-{export.id}.csv",
        "path_key": export.path_key,
        "object_key": export.path_key,
        "file": "",
        "file_size": None,
        "checksum": "",
        "file_facts": {},
        "expires_at": None,
        "file_deleted_at": None,
        "error_log": "",
    }
    assert len(export.path_key) == 64
    assert abs(timezone.now() - export.created_at) < datetime.timedelta(minutes=1)


def test_a_path_of_its_own_is_taken_as_it_is():
    assert schedule(file_path="a/b.csv", path_prefix="exports/").file_path == "a/b.csv"


def test_the_longest_path_is_stored():
    path = "/".join(["€" * 85] * 5 + ["😀" * 63, "x" * 18])
    path += "x" * (MAX_PATH_LENGTH - len(path))
    export = schedule(file_path=clean_path(path))
    export.claim("token")
    export.succeed(row_count=0, file_size=0, job_time=SECOND)
    assert get_facts(export)["file"] == get_facts(export)["file_path"] == path


@pytest.mark.parametrize("state", [ExportState.SCHEDULED, ExportState.PROCESSING])
def test_an_unfinished_export_reserves_its_path(state):
    make_export(state, file_path="a.csv")
    with pytest.raises(FileAlreadyExists, match=r"'a\.csv' in storage 'default'") as caught:
        schedule(file_path="a.csv")
    assert str(caught.value).startswith("File already exists: ")
    assert isinstance(caught.value, InvalidExport)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, FileExistsError)
    assert QueryExport.objects.count() == 1


@pytest.mark.parametrize("state", [ExportState.SUCCESS, ExportState.FAIL])
def test_a_finished_export_releases_its_path(state):
    make_export(state, file_path="a.csv")
    assert schedule(file_path="a.csv").path_key


def test_an_export_that_fails_before_its_start_releases_its_path():
    schedule(file_path="a.csv").fail(ValueError())
    assert schedule(file_path="a.csv")


@pytest.mark.parametrize("other", [{"file_path": "A.csv"}, {"storage_alias": "staticfiles"}])
def test_other_paths_are_free(other):
    schedule(file_path="a.csv")
    assert schedule(**{"file_path": "a.csv"} | other)


def test_many_exports_have_no_reservation():
    for _ in range(3):
        make_export(ExportState.FAIL, file_path="a.csv")
    assert QueryExport.objects.filter(path_key=None).count() == 3


def test_a_conflict_leaves_the_callers_transaction_usable():
    schedule(file_path="a.csv")
    with transaction.atomic():
        with pytest.raises(FileAlreadyExists):
            schedule(file_path="a.csv")
        schedule(file_path="b.csv")
    assert QueryExport.objects.count() == 2


@pytest.mark.parametrize("field", ["storage_alias", "format"])
def test_another_integrity_error_is_not_called_a_conflict(field):
    with pytest.raises(IntegrityError), transaction.atomic():
        schedule(file_path="a.csv", **{field: None})
    assert not QueryExport.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_error_that_stays_is_not_tried_for_ever(django_user_model):
    attempts = []

    def count(**kwargs):
        attempts.append(kwargs)
        assert len(attempts) < 5

    pre_save.connect(count, sender=QueryExport)
    try:
        with pytest.raises(IntegrityError):
            schedule(created_by=django_user_model(pk=2**31 - 1))
    finally:
        pre_save.disconnect(count, sender=QueryExport)
    assert not QueryExport.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_conflict_outside_of_a_transaction_is_told_too():
    schedule(file_path="a.csv")
    with pytest.raises(FileAlreadyExists):
        schedule(file_path="a.csv")
    assert QueryExport.objects.count() == 1


@pytest.mark.django_db(databases=["default", "other"])
def test_an_export_may_live_in_another_database():
    export = schedule(QueryExport.objects.using("other"), file_path="a.csv")
    assert export.database == "other"
    assert schedule(file_path="a.csv").database == "default"
    assert export.claim("token")
    assert export.beat(row_count=1, progress_percent=None)
    assert export.is_recorded_as(ExportState.PROCESSING)
    assert export.succeed(row_count=1, file_size=1, job_time=SECOND)
    assert get_facts(export)["state"] == "success"
    assert QueryExport.objects.get().state == "scheduled"


def test_a_new_object_belongs_to_the_default_database():
    assert QueryExport().database == "default"


@pytest.mark.django_db(databases=["default", "other"])
def test_an_export_read_from_a_replica_is_written_where_the_router_says(settings):
    export = schedule()
    QueryExport.objects.using("other").bulk_create([copy.copy(export)])
    settings.DATABASE_ROUTERS = [ReplicaRouter()]
    replica = QueryExport.objects.get()
    assert replica._state.db == "other"
    assert replica.claim("token")
    assert QueryExport.objects.using("default").get().state == "processing"
    assert QueryExport.objects.using("other").get().state == "scheduled"


@pytest.mark.django_db(databases=["default", "other"])
def test_the_router_chooses_where_an_export_is_scheduled(settings):
    class Router:
        def db_for_write(self, model, **hints):
            return "other"

    settings.DATABASE_ROUTERS = [Router()]
    assert schedule(file_path="a.csv").database == "other"
    with pytest.raises(FileAlreadyExists):
        schedule(file_path="a.csv")
    assert not QueryExport.objects.using("default").exists()


# Transitions

TRANSITIONS = {
    "start": (lambda export: export.claim("token"), {"scheduled"}, "processing"),
    "beat": (
        lambda export: export.beat(row_count=1, progress_percent=50),
        {"processing"},
        "processing",
    ),
    "begin_delivery": (
        lambda export: export.begin_delivery(),
        {"processing"},
        "processing",
    ),
    "succeed": (
        lambda export: export.succeed(row_count=3, file_size=20, job_time=SECOND),
        {"processing"},
        "success",
    ),
    "fail": (lambda export: export.fail(OSError("full")), {"scheduled", "processing"}, "fail"),
}


@pytest.mark.parametrize("name", TRANSITIONS)
@pytest.mark.parametrize("state", STATES)
def test_a_transition_moves_from_some_states_only(name, state):
    move, sources, target = TRANSITIONS[name]
    export = make_export(state)
    before, attributes = get_facts(export), dict(vars(export))
    assert move(export) is (state in sources)
    if state in sources:
        assert get_facts(export)["state"] == export.state == target
    else:
        assert get_facts(export) == before
        assert vars(export) == attributes


@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_transition_asks_the_row_and_not_the_object(name):
    move, sources, _ = TRANSITIONS[name]
    for state in STATES:
        export = make_export(state)
        stale = QueryExport.objects.get(pk=export.pk)
        stale.state = "scheduled"
        assert move(stale) is (state in sources)


@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_deleted_export_moves_nowhere(name):
    export = make_export(ExportState.PROCESSING)
    stale = QueryExport.objects.get()
    export.delete()
    assert TRANSITIONS[name][0](stale) is False
    assert not QueryExport.objects.exists()


@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_transition_is_one_query_and_touches_one_row(name, django_assert_num_queries):
    move, sources, _ = TRANSITIONS[name]
    state = ExportState(max(sources))
    export, other = make_export(state), make_export(state)
    before = get_facts(other)
    with django_assert_num_queries(1):
        assert move(export)
    assert get_facts(other) == before


def test_start_writes_the_time_and_the_first_heartbeat():
    export = schedule()
    assert export.claim("token")
    facts = get_facts(export)
    assert (export.state, export.row_count) == (facts["state"], facts["row_count"])
    assert facts["row_count"] == 0
    assert facts["start_time"] == export.start_time
    assert abs(facts["heartbeat_at"] - timezone.now()) < datetime.timedelta(minutes=1)
    assert facts["progress_percent"] is None
    assert facts["path_key"]


def test_beat_writes_progress_and_nothing_else():
    export = make_export(ExportState.PROCESSING)
    QueryExport.objects.update(heartbeat_at=DatabaseTime() - SECOND * 60)
    before = get_facts(export)
    assert export.beat(row_count=7, progress_percent=70)
    after = get_facts(export)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"row_count", "progress_percent", "heartbeat_at"}
    assert after["heartbeat_at"] - before["heartbeat_at"] > SECOND * 50
    assert (export.row_count, export.progress_percent) == (7, 70)


def test_begin_delivery_writes_the_time_and_a_heartbeat():
    export = make_export(ExportState.PROCESSING)
    QueryExport.objects.update(heartbeat_at=DatabaseTime() - SECOND * 3600)
    before = get_facts(export)
    assert export.begin_delivery()
    after = get_facts(export)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"delivery_started_at", "heartbeat_at"}
    assert export.delivery_started_at == after["delivery_started_at"]
    assert not QueryExport.objects.lost(60).exists()


def test_a_scheduled_export_knows_its_heartbeat():
    export = schedule()
    assert abs(timezone.now() - export.heartbeat_at) < datetime.timedelta(minutes=1)
    heartbeat_at = get_facts(export)["heartbeat_at"]
    export.save()
    assert get_facts(export)["heartbeat_at"] == heartbeat_at


def test_beat_may_repeat_itself():
    export = make_export(ExportState.PROCESSING)
    assert all(export.beat(row_count=0, progress_percent=None) for _ in range(3))


def test_succeed_writes_the_facts():
    export = schedule(file_path="a/b.csv")
    export.claim("token")
    assert export.succeed(row_count=3, file_size=20, job_time=SECOND)
    facts = get_facts(export)
    assert facts["finished_at"] == export.finished_at >= export.start_time
    assert facts["job_time"] == SECOND
    assert facts["row_count"] == 3
    assert facts["file_size"] == 20
    assert facts["progress_percent"] == 100
    assert facts["file"] == "a/b.csv"
    assert facts["path_key"] is None
    assert facts["error_log"] == ""
    assert export.file.name == "a/b.csv"


def test_fail_writes_the_reason_and_no_file():
    export = make_export(ExportState.PROCESSING)
    export.beat(row_count=5, progress_percent=50)
    assert export.fail(OSError("full"), job_time=SECOND)
    facts = get_facts(export)
    assert facts["error_log"] == export.error_log == "OSError: full"
    assert facts["finished_at"] == export.finished_at
    assert facts["job_time"] == SECOND
    assert (facts["row_count"], facts["progress_percent"]) == (5, 50)
    assert (facts["file"], facts["file_size"], facts["path_key"]) == ("", None, None)


@pytest.mark.parametrize("state", STATES)
def test_is_recorded_as_asks_the_row(state):
    export = make_export(state)
    export.state = "lost"
    assert [export.is_recorded_as(other) for other in STATES] == [
        other == state for other in STATES
    ]


# Queries


def test_states_are_named_queries():
    exports = {state: make_export(state) for state in STATES}
    queries = ["scheduled", "processing", "succeeded", "failed"]
    for state, name in zip(STATES, queries, strict=True):
        assert list(getattr(QueryExport.objects, name)()) == [exports[state]]
        assert list(getattr(QueryExport.objects.all(), name)()) == [exports[state]]


@pytest.mark.parametrize(("age", "is_lost"), [(0, False), (55, False), (65, True), (10**6, True)])
def test_an_export_without_a_heartbeat_is_lost(age, is_lost):
    export = make_export(ExportState.PROCESSING)
    QueryExport.objects.update(heartbeat_at=DatabaseTime() - SECOND * age)
    assert list(QueryExport.objects.lost(60)) == ([export] if is_lost else [])


def test_a_lease_may_be_a_fraction_of_a_second():
    make_export(ExportState.PROCESSING)
    QueryExport.objects.update(heartbeat_at=DatabaseTime() - SECOND)
    assert QueryExport.objects.lost(0.5).exists()
    assert not QueryExport.objects.lost(30.5).exists()


@pytest.mark.parametrize("state", STATES)
def test_only_an_unfinished_export_can_be_lost(state):
    make_export(state)
    QueryExport.objects.update(heartbeat_at=DatabaseTime() - SECOND * 3600)
    is_unfinished = state in {ExportState.SCHEDULED, ExportState.PROCESSING}
    assert QueryExport.objects.lost(60).exists() is is_unfinished


@pytest.mark.parametrize("state", STATES)
def test_a_young_export_is_not_lost(state):
    make_export(state)
    assert not QueryExport.objects.lost(2).exists()


def test_a_beat_saves_an_export_from_being_lost():
    export = make_export(ExportState.PROCESSING)
    QueryExport.objects.update(heartbeat_at=DatabaseTime() - SECOND * 3600)
    assert export.beat(row_count=0, progress_percent=None)
    assert not QueryExport.objects.lost(60).exists()


@pytest.mark.parametrize(("seconds", "is_stale"), [(59, False), (61, True)])
def test_a_file_is_left_to_whoever_deletes_it_for_a_lease(seconds, is_stale):
    export = make_export(ExportState.SUCCESS)
    assert export.path_key is None
    assert QueryExport.objects.deletable(60).exists()
    QueryExport.objects.update(path_key="held", heartbeat_at=DatabaseTime() - SECOND * seconds)
    assert QueryExport.objects.deletable(60).exists() is is_stale


@pytest.mark.only_on("postgresql", "mysql")
@pytest.mark.parametrize("offset", ["+09:00", "-11:00"])
def test_the_time_zone_of_a_session_makes_no_export_lost(offset):
    statements = {
        "mysql": "SET time_zone = '{}'",
        "postgresql": "SET TIME ZONE INTERVAL '{}' HOUR TO MINUTE",
    }
    with connection.cursor() as cursor:
        cursor.execute(statements[connection.vendor].format(offset))
        try:
            export = make_export(ExportState.PROCESSING)
            export.beat(row_count=0, progress_percent=None)
        finally:
            cursor.execute(statements[connection.vendor].format("+00:00"))
    assert not QueryExport.objects.lost(60).exists()
    QueryExport.objects.update(heartbeat_at=DatabaseTime() - SECOND * 61)
    with connection.cursor() as cursor:
        cursor.execute(statements[connection.vendor].format(offset))
        try:
            assert QueryExport.objects.lost(60).exists()
        finally:
            cursor.execute(statements[connection.vendor].format("+00:00"))


@pytest.fixture
def view_permission():
    return Permission.objects.get(codename="view_queryexport")


@pytest.mark.parametrize(
    ("fields", "is_permitted", "sees_all"),
    [
        ({}, False, False),
        ({}, True, False),
        ({"is_staff": True}, False, False),
        ({"is_staff": True}, True, True),
        ({"is_staff": True, "is_superuser": True}, False, True),
        ({"is_superuser": True}, False, False),
        ({"is_staff": True, "is_active": False}, True, False),
        ({"is_staff": True, "is_superuser": True, "is_active": False}, False, False),
    ],
)
def test_a_user_sees_their_own_exports_and_permitted_staff_all(
    django_user_model, view_permission, fields, is_permitted, sees_all
):
    user = django_user_model.objects.create_user("ada", **fields)
    if is_permitted:
        user.user_permissions.add(view_permission)
    own = schedule(created_by=user)
    others = [schedule(), schedule(created_by=django_user_model.objects.create_user("grace"))]
    assert set(QueryExport.objects.visible_to(user)) == {own, *(others if sees_all else ())}


def test_nobody_in_particular_sees_nothing(django_user_model, django_assert_num_queries):
    schedule()
    with django_assert_num_queries(0):
        assert list(QueryExport.objects.visible_to(AnonymousUser())) == []
    unsaved = django_user_model(username="ada")
    assert list(QueryExport.objects.visible_to(unsaved)) == []


def test_what_is_visible_can_be_filtered_further(django_user_model):
    user = django_user_model.objects.create_user("ada")
    export = schedule(created_by=user)
    make_export(ExportState.FAIL, created_by=user)
    assert list(QueryExport.objects.scheduled().visible_to(user)) == [export]


# Errors, stored and read back


class Strange(Exception):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no"), "ValueError: no"),
        (ValueError(), "ValueError"),
        (KeyboardInterrupt(), "KeyboardInterrupt (the process was told to end)"),
        (SystemExit(3), "SystemExit: 3 (the process was told to end)"),
        (DatabaseError("a\nb"), "django.db.utils.DatabaseError: a\nb"),
        (ValueError("a\0b"), "ValueError: a\\x00b"),
        (ValueError("a\ud800b\udfff"), "ValueError: a\\ud800b\\udfff"),
        (
            ValueError("Grüße, 書 👩‍👩‍👧 \u2028\x85\ufeff"),
            "ValueError: Grüße, 書 👩‍👩‍👧 \u2028\x85\ufeff",
        ),
        (ValueError("<b>'\"%s%%\\"), "ValueError: <b>'\"%s%%\\"),
        (Strange(), f"{__name__}.Strange: <exception str() failed>"),
        (ValueError(b"\xff"), "ValueError: b'\\xff'"),
        (ExceptionGroup("many", [ValueError()]), "ExceptionGroup: many (1 sub-exception)"),
    ],
    ids=ascii,
)
def test_an_error_is_stored_as_type_and_message(error, text):
    export = make_export(ExportState.PROCESSING)
    assert export.fail(error)
    assert get_facts(export)["error_log"] == export.error_log == text


def test_notes_are_stored():
    error = ValueError("no")
    add_location(error, row=7, column="naïve\0")
    error.add_note("And \ud800.")
    export = make_export(ExportState.PROCESSING)
    export.fail(error)
    assert get_facts(export)["error_log"] == (
        "ValueError: no\nRow 7, column 'naïve\\x00'.\nAnd \\ud800."
    )


@pytest.mark.parametrize("character", ["x", "€", "😀", "\0", "\ud800", "\n"], ids=ascii)
def test_a_long_error_is_cut(character):
    export = make_export(ExportState.PROCESSING)
    assert export.fail(ValueError("start " + character * 1_000_000 + " end"))
    text = get_facts(export)["error_log"]
    assert text == export.error_log
    assert text.startswith("ValueError: start ")
    assert "…" in text
    assert len(text) < 100_000


def test_an_error_that_just_fits_is_whole():
    text = "x" * (MAX_ERROR_LENGTH - len("ValueError: "))
    assert describe_error(ValueError(text)) == f"ValueError: {text}"
    assert describe_error(ValueError(text + "y")) == f"ValueError: {text}…"


def test_a_long_message_does_not_push_the_notes_out():
    error = ValueError("x" * 1_000_000)
    add_location(error, row=7, column="name")
    text = describe_error(error)
    assert text.startswith("ValueError: xxx")
    assert text.endswith("…\nRow 7, column 'name'.")
    assert len(text) < MAX_ERROR_LENGTH + 100


def test_long_notes_are_cut_too():
    error = ValueError("no")
    add_location(error, row=7, column="x" * 1_000_000)
    text = describe_error(error)
    assert text.startswith("ValueError: no\nRow 7, column 'xxx")
    assert len(text) < 100_000


def test_the_error_itself_is_not_changed():
    error = ValueError("a\0b")
    describe_error(error)
    assert error.args == ("a\0b",)


# Looks


@pytest.mark.parametrize("state", STATES)
def test_str_and_repr_say_what_it_is(state):
    export = make_export(state, file_path="a.csv")
    file, rows = ("'a.csv'", 2) if state == ExportState.SUCCESS else (None, export.row_count)
    assert str(export) == f"{export.id} ({state.label})"
    assert repr(export) == (
        f"<QueryExport {export.id}: {state}, model=testapp.Author, rows={rows}, file={file}>"
    )


def test_str_and_repr_need_no_row():
    assert repr(QueryExport(id="x")) == "<QueryExport x: scheduled, model=, rows=None, file=None>"
    assert str(QueryExport(id="x")) == "x (Scheduled)"


@pytest.mark.parametrize("state", STATES)
def test_metadata_holds_the_facts_by_their_fixed_names(state):
    export = make_export(state)
    assert export.metadata == {
        "start_time": export.start_time,
        "job_time": export.job_time,
        "file_size": export.file_size,
        "row_count": export.row_count,
        "progress_percent": export.progress_percent,
        "error_log": export.error_log,
    }
    assert list(export.metadata) == [
        "start_time",
        "job_time",
        "file_size",
        "row_count",
        "progress_percent",
        "error_log",
    ]


# The file


@pytest.fixture
def two_storages(settings, tmp_path):
    """Two folders, of which the second is not the default."""
    settings.STORAGES = {
        alias: {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / alias, "base_url": f"/{alias}/"},
        }
        for alias in ("default", "exports", "staticfiles")
    }
    for alias in ("default", "exports"):
        storages[alias].save("a.csv", ContentFile(alias.encode()))


@pytest.mark.parametrize("alias", ["default", "exports"])
def test_the_file_is_that_of_the_storage_that_the_row_names(two_storages, alias):
    make_export(ExportState.SUCCESS, storage_alias=alias, file_path="a.csv")
    export = QueryExport.objects.get()
    assert export.storage is export.file.storage is storages[alias]
    assert export.file.url == f"/{alias}/a.csv"
    assert export.file.size == len(alias)
    with export.file.open() as file:
        assert file.read() == alias.encode()


def test_the_storage_follows_the_settings(two_storages, settings, tmp_path):
    export = make_export(ExportState.SUCCESS, file_path="a.csv")
    assert export.file.url == "/default/a.csv"
    settings.STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    }
    assert not isinstance(export.file.storage, FileSystemStorage)
    assert not export.file.storage.exists("a.csv")


def test_a_storage_that_is_no_more_hurts_only_who_asks(settings):
    export = make_export(ExportState.SUCCESS, storage_alias="gone")
    export = QueryExport.objects.get()
    assert export.file.name in repr(export)
    with pytest.raises(InvalidStorageError, match="'gone'"):
        _ = export.file.url


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_a_copy_is_the_same_export(two_storages, state, duplicate):
    export = make_export(state, storage_alias="exports", file_path="a.csv")
    twin = duplicate(export)
    assert twin == export
    assert twin.metadata == export.metadata
    assert twin.file.name == export.file.name
    assert twin.storage is twin.file.storage is storages["exports"]
    assert TRANSITIONS["fail"][0](twin) is (state in TRANSITIONS["fail"][1])


def test_update_is_that_of_an_updatable_model():
    export = make_export(ExportState.SUCCESS)
    assert export.update(file="b.csv", file_size=1) is True
    assert (get_facts(export)["file"], get_facts(export)["file_size"]) == ("b.csv", 1)
    with pytest.raises(ValueError, match="primary key"):
        export.update(id="x")


def test_the_app_is_labelled_exporter():
    config = apps.get_app_config("exporter")
    assert config.name == "django_infra.exporter"
    assert QueryExport._meta.label == "exporter.QueryExport"

"""A table that another package created under the name of ours, on a real server."""

from __future__ import annotations

import re

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import OperationalError, connections, models
from django.db.migrations.recorder import MigrationRecorder
from django.test.utils import isolate_apps

from django_infra.exporter.models import Leftover, QueryExport
from django_infra.exporter.models.checks import check_tables

# MariaDB commits with each change of a table.
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

TABLE = "exporter_queryexport"
TWO_MIGRATIONS = {
    # The first migration, but without the checksum, which the second one adds.
    "0001_initial": """
        from importlib import import_module
        from django.db import migrations
        ours = import_module("django_infra.exporter.migrations.0001_initial").Migration
        class Migration(ours):
            operations = [*ours.operations, migrations.RemoveField("queryexport", "checksum")]
    """,
    "0002_checksum": """
        from django.db import migrations, models
        class Migration(migrations.Migration):
            dependencies = [("exporter", "0001_initial")]
            checksum = models.CharField(max_length=64, blank=True, default="")
            operations = [migrations.AddField("queryexport", "checksum", checksum)]
    """,
}


class Database:
    """A database whose table and records of migrations a test changes."""

    def __init__(self, alias):
        self.connection = connections[alias]
        self.recorder = MigrationRecorder(self.connection)

    def has(self, table):
        return table in self.connection.introspection.table_names()

    def execute(self, sql):
        with self.connection.cursor() as cursor:
            cursor.execute(sql)

    def drop(self, *tables):
        for table in filter(self.has, tables or (TABLE, Leftover._meta.db_table)):
            self.execute(f"DROP TABLE {table}")

    def create(self, model):
        with self.connection.schema_editor() as editor:
            editor.create_model(model)

    def record(self, *names):
        self.recorder.migration_qs.filter(app="exporter").delete()
        for name in names:
            self.recorder.record_applied("exporter", name)

    def remove_column(self, name):
        with self.connection.schema_editor() as editor:
            editor.remove_field(QueryExport, QueryExport._meta.get_field(name))


@pytest.fixture
def other():
    """Give the second database, and let it be as it was afterwards."""
    database = Database("other")
    yield database
    database.drop()
    database.drop(f"{TABLE}_old")
    database.create(QueryExport)
    database.create(Leftover)
    database.record("0001_initial")


@pytest.fixture
def foreign(other):
    """Give a database that the other package has migrated and used."""
    with isolate_apps("django_infra.exporter"):

        class ForeignExport(models.Model):
            id = models.CharField(max_length=64, primary_key=True)
            state = models.CharField(max_length=16)
            metadata = models.JSONField()
            file = models.FileField()
            format = models.CharField(max_length=16)

            class Meta:
                app_label = "exporter"
                db_table = TABLE

            def __str__(self):
                return self.id

    other.drop()
    other.create(ForeignExport)
    other.record("0001_initial", "0002_alter_queryexport_state")
    ForeignExport.objects.using("other").create(id="a", state="success", metadata={}, format="csv")
    return other


@pytest.fixture
def two_migrations(tmp_path, monkeypatch, settings):
    """Let the exporter have two migrations, as a later version will."""
    package = tmp_path / "pending_migrations"
    package.mkdir()
    (package / "__init__.py").touch()
    for name, code in TWO_MIGRATIONS.items():
        (package / f"{name}.py").write_text(re.sub(r"^ {8}", "", code, flags=re.MULTILINE))
    monkeypatch.syspath_prepend(tmp_path)
    settings.MIGRATION_MODULES = settings.MIGRATION_MODULES | {"exporter": package.name}


@pytest.fixture
def pending(other, two_migrations):
    """Give a database to which the first of two migrations has been applied."""
    other.remove_column("checksum")
    return other


def find_messages(*databases):
    messages = run_checks(databases=databases or None)
    return [message for message in messages if message.id == "exporter.E015"]


def migrate(**options):
    call_command("migrate", database="other", verbosity=0, skip_checks=False, **options)


def test_our_own_tables_pass():
    call_command("check", databases=["default", "other"])
    assert find_messages("default", "other") == []


def test_a_table_of_another_package_is_an_error(foreign):
    with pytest.raises(SystemCheckError) as caught:
        call_command("check", databases=["default", "other"])

    error = str(caught.value)
    assert error.count("exporter.E015") == 1
    assert f"The table {TABLE!r} of the database 'other' was created by another package" in error
    assert "has the unknown columns 'metadata', although" in error
    missing = re.search(r"it lacks the columns (.*) and has", error)[1].split(", ")
    columns = {field.column for field in QueryExport._meta.concrete_fields}
    assert missing == sorted(map(repr, columns - {"id", "state", "file", "format"}))


@pytest.mark.usefixtures("foreign")
def test_a_database_that_is_not_named_is_not_looked_at():
    assert find_messages() == []
    assert find_messages("default") == []


def test_a_table_of_another_package_stops_migrate(foreign):
    with pytest.raises(SystemCheckError, match=r"exporter\.E015"):
        migrate()

    assert foreign.has(TABLE)


def test_the_steps_of_the_error_make_the_table_ours(foreign):
    (message,) = find_messages("other")
    for statement in re.findall(r"^ +(.*);$", message.hint, re.MULTILINE):
        foreign.execute(statement)
    migrate()

    assert find_messages("other") == []
    assert QueryExport.objects.using("other").count() == 0
    with foreign.connection.cursor() as cursor:
        cursor.execute(f"SELECT id, state FROM {TABLE}_old")
        assert [tuple(row) for row in cursor.fetchall()] == [("a", "success")]


def test_no_table_passes_before_the_first_migration_and_after_it(other):
    other.drop()
    assert find_messages("other") == []
    other.record()
    migrate()

    assert other.has(TABLE)
    assert find_messages("other") == []


def test_a_table_that_no_migration_is_recorded_for_passes(foreign):
    # Django says that the table exists already.
    foreign.record()
    assert find_messages("other") == []


def test_columns_that_a_pending_migration_adds_are_not_missing(pending):
    assert find_messages("other") == []
    migrate()

    assert find_messages("other") == []
    QueryExport.objects.using("other").get_or_create(id="a", checksum="b")


def test_a_column_that_an_applied_migration_added_is_missing(pending):
    pending.record("0001_initial", "0002_checksum")

    (message,) = find_messages("other")
    assert "it lacks the columns 'checksum', although" in message.msg


@pytest.mark.usefixtures("foreign", "two_migrations")
def test_a_pending_migration_does_not_hide_a_table_of_another_package():
    (message,) = find_messages("other")
    assert "'row_count'" in message.msg
    assert "'checksum'" not in message.msg


def test_additional_columns_pass(other):
    other.execute(f"ALTER TABLE {TABLE} ADD COLUMN remark varchar(10)")
    assert find_messages("other") == []


@pytest.mark.usefixtures("foreign")
def test_a_database_that_the_router_keeps_it_from_passes(settings):
    settings.DATABASE_ROUTERS = ["testapp.routers.DefaultOnlyRouter"]
    assert find_messages("other") == []


def test_a_database_that_does_not_answer_is_left_to_django(other, monkeypatch):
    other.connection.close()
    with monkeypatch.context() as patch:
        for key, value in {"NAME": "/nowhere/at/all", "HOST": "127.0.0.1", "PORT": "9"}.items():
            patch.setitem(other.connection.settings_dict, key, value)
        assert check_tables(databases=["other"]) == []
        with pytest.raises(OperationalError):
            migrate()
    assert other.has(TABLE)

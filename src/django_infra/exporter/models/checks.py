"""Check that the tables in a database are those of this package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TypeAlias

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error
from django.db import DatabaseError, InterfaceError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.models import Model

APP = "exporter"

# The names of the columns, by that of their table.
Tables: TypeAlias = dict[str, set[str]]


def check_tables(
    app_configs: Sequence[AppConfig] | None = None,
    *,
    databases: Iterable[str] | None = None,
    **kwargs: object,
) -> list[CheckMessage]:
    """Check that each table has the columns which the recorded migrations create."""
    messages: list[CheckMessage] = []
    for alias in databases or []:
        # Where a database does not answer, Django says so, if it needs an answer.
        with suppress(DatabaseError, InterfaceError):
            messages += _check_tables(alias)
    return messages


def _check_tables(alias: str) -> Iterator[CheckMessage]:
    connection = connections[alias]
    introspection = connection.introspection
    models = [
        model
        for model in apps.get_app_config(APP).get_models()
        if router.allow_migrate_model(alias, model)
    ]
    with connection.cursor() as cursor:
        existing = introspection.table_names(cursor)
        tables: Tables = {
            table: {column.name for column in introspection.get_table_description(cursor, table)}
            for model in models
            if (table := model._meta.db_table) in existing
        }
    # To load the migrations takes far longer than to read the columns.
    if not any(_find_missing(model, tables) for model in models):
        return
    for model in _make_recorded_models(connection):
        # Additional columns of a project's own do no harm.
        if missing := _find_missing(model, tables):
            table = model._meta.db_table
            unknown = tables[table] - _list_columns(model)
            yield Error(
                f"The table {table!r} of the database {alias!r} was created by another package "
                "named django-infra, or by another version of this one: "
                f"it lacks the columns {_join(missing)}"
                + (f" and has the unknown columns {_join(unknown)}" if unknown else "")
                + f", although django_migrations records that {APP!r} is migrated.",
                hint=_describe_steps(alias, tables),
                id="exporter.E015",
            )


def _find_missing(model: type[Model], tables: Tables) -> set[str]:
    """Return the columns that the table of a model lacks; a table that is not there lacks none."""
    table = model._meta.db_table
    return _list_columns(model) - tables[table] if table in tables else set()


def _list_columns(model: type[Model]) -> set[str]:
    return {field.column for field in model._meta.local_concrete_fields if field.column}


def _make_recorded_models(connection: BaseDatabaseWrapper) -> list[type[Model]]:
    """Return the models as the applied migrations leave them; none before the first one."""
    loader = MigrationLoader(connection)
    # The other package has recorded migrations that this one does not have.
    applied = [key for key in loader.applied_migrations if key[0] == APP and key in loader.graph]
    models = loader.project_state(applied).apps.get_models()
    return [model for model in models if model._meta.app_label == APP]


def _join(columns: set[str]) -> str:
    return ", ".join(map(repr, sorted(columns)))


def _describe_steps(alias: str, tables: Iterable[str]) -> str:
    """Return the way out that keeps the rows of the old tables."""
    # A table that is renamed keeps its indexes, and PostgreSQL refuses their names to the new one.
    statements = [
        *(f"CREATE TABLE {table}_old AS SELECT * FROM {table};" for table in tables),
        f"DELETE FROM django_migrations WHERE app = '{APP}';",
        *(f"DROP TABLE {table};" for table in tables),
    ]
    return "\n".join(
        [
            f"Copy what you want to keep. Run in `manage.py dbshell --database {alias}`:",
            *(f"    {statement}" for statement in statements),
            f"Then run `manage.py migrate --database {alias}`, which creates the table.",
        ]
    )

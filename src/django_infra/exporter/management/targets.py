"""Find what a command line asks to export: the rows of a model, or a named export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, Self

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import FieldError, ValidationError
from django.core.management.base import CommandError
from django.db.models import Model, QuerySet

from django_infra.exporter.checks import require_settings
from django_infra.exporter.columns import select
from django_infra.exporter.exceptions import UnknownExport
from django_infra.exporter.export import export_queryset, schedule_export
from django_infra.exporter.jobs import pipeline
from django_infra.exporter.jobs.pipeline import Job
from django_infra.exporter.jobs.progress import Watch
from django_infra.exporter.jobs.worker import check_permission, open_job, run_job
from django_infra.exporter.management.arguments import make_params, narrow, split_names
from django_infra.exporter.models import QueryExport
from django_infra.exporter.registry import registry
from django_infra.exporter.registry.named_export import NamedExport
from django_infra.exporter.registry.params import serialize
from django_infra.exporter.runners import get_runner
from django_infra.exporter.writers import choose_format, get_writer

MODEL_OPTIONS = {
    "values": "--values",
    "filter": "--filter",
    "order_by": "--order-by",
    "manager": "--manager",
    "database": "--database",
    "no_escape_formulas": "--no-escape-formulas",
}
NAMED_OPTIONS = {"param": "--param", "user": "--user"}


class Target(Protocol):
    """What is to be exported, into the storage or without a row."""

    def export(
        self, file_path: str | None, *, format: str | None, watch: Watch | None
    ) -> QueryExport:
        """Export into the storage, in this process, and return the finished row."""

    def open_job(self, output: str | None, *, format: str | None) -> AbstractContextManager[Job]:
        """Return the context of the job, which writes what the output or the format says."""


@dataclass(frozen=True)
class ModelTarget:
    """Rows and columns that the command line names."""

    queryset: QuerySet[Model]
    values: Sequence[str]
    options: dict[str, Any] | None = None

    @classmethod
    def read(cls, model: type[Model], options: dict[str, Any]) -> Self:
        """Return the target that the options of the command make; raise CommandError."""
        label = model._meta.label
        _refuse(options, NAMED_OPTIONS, f"{label} is a model")
        if not options["values"]:
            raise CommandError(
                f"--values is missing: name the fields of {label} that may leave the database."
            )
        manager, managers = model._default_manager, model._meta.managers_map
        if (name := options["manager"]) is not None:
            if name not in managers:
                raise CommandError(
                    f"--manager is {name!r}, which is not a manager of {label}. "
                    f"Allowed: {', '.join(map(repr, managers))}."
                )
            manager = managers[name]
        queryset = manager.all()
        # Without the option the routers choose the database.
        if options["database"] is not None:
            queryset = queryset.using(options["database"])
        try:
            queryset = narrow(queryset, options["filter"] or (), options["order_by"] or ())
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        except (FieldError, TypeError, ValueError) as error:
            raise CommandError(str(error)) from error
        writer_options = {"escape_formulas": False} if options["no_escape_formulas"] else None
        return cls(queryset, split_names(options["values"]), writer_options)

    def export(
        self, file_path: str | None, *, format: str | None, watch: Watch | None
    ) -> QueryExport:
        return export_queryset(
            self.queryset,
            self.values,
            file_path,
            format=format,
            options=self.options,
            watch=watch,
        )

    @contextmanager
    def open_job(self, output: str | None, *, format: str | None) -> Iterator[Job]:
        require_settings()
        selection = select(self.queryset, self.values)
        format = choose_format(output, format)
        yield Job.limited(selection, get_writer(format, self.options))


@dataclass(frozen=True)
class NamedTarget:
    """A named export with its parameters, and who asks for it."""

    named: NamedExport
    params: dict[str, str | list[str]]
    user: AbstractBaseUser | None = None

    @classmethod
    def read(cls, named: NamedExport, options: dict[str, Any]) -> Self:
        """Return the target that the options of the command make; raise CommandError."""
        _refuse(options, MODEL_OPTIONS, f"{named.name!r} is a named export")
        user = None
        if (name := options["user"]) is not None:
            users = get_user_model()
            try:
                user = users._default_manager.get_by_natural_key(name)
            except users.DoesNotExist as error:
                raise CommandError(f"There is no user {name!r}.") from error
        return cls(named, make_params(options["param"] or ()), user)

    def export(
        self, file_path: str | None, *, format: str | None, watch: Watch | None
    ) -> QueryExport:
        export = schedule_export(
            self.named.name, self.params, created_by=self.user, format=format, file_path=file_path
        )
        try:
            run_job(export.id, hand_over=get_runner().hand_over, watch=watch)
        except BaseException as error:
            # Interrupted before it has begun, it would be left to a worker.
            pipeline.record_failure(export, error)
            raise
        export.refresh_from_db()
        return export

    def open_job(self, output: str | None, *, format: str | None) -> AbstractContextManager[Job]:
        require_settings()
        check_permission(self.named, self.user)
        format = choose_format(output, format, offered=self.named.get_formats())
        return open_job(self.named, serialize(self.params), user=self.user, format=format)


def find_target(options: dict[str, Any]) -> Target:
    """Return the named export of the name, or else the model."""
    # A named export may be called as a model is, and was given its name on purpose.
    name = options["name"]
    try:
        named = registry.get(name)
    except UnknownExport as error:
        unknown_export = error
    else:
        return NamedTarget.read(named, options)
    try:
        model = apps.get_model(name)
    except (LookupError, ValueError) as error:
        # Django's ValueError says no more than what is said here.
        reason = str(error) if isinstance(error, LookupError) else ""
        raise CommandError(
            f"{unknown_export} Nor is it a model, as 'app_label.Model' is. {reason}".strip()
        ) from error
    return ModelTarget.read(model, options)


def _refuse(options: dict[str, Any], names: dict[str, str], reason: str) -> None:
    """Raise CommandError for options that would have no effect."""
    if given := [option for name, option in names.items() if options[name]]:
        raise CommandError(f"{reason}, which does not take {', '.join(given)}.")

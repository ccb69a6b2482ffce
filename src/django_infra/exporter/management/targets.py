"""What the command line can export: the rows of a model, or a named export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldError, ValidationError
from django.core.management.base import CommandError
from django.db.models import QuerySet

from django_infra.exporter import pipeline
from django_infra.exporter.checks import require_settings
from django_infra.exporter.columns import select
from django_infra.exporter.exceptions import UnknownExport
from django_infra.exporter.export import export_queryset, schedule_export
from django_infra.exporter.formats import choose_format, get_writer
from django_infra.exporter.jobs import check_permission, open_job, run_job
from django_infra.exporter.management.arguments import make_params, narrow, split_names
from django_infra.exporter.models import QueryExport
from django_infra.exporter.named import NamedExport
from django_infra.exporter.params import serialize
from django_infra.exporter.pipeline import Job
from django_infra.exporter.progress import Watch
from django_infra.exporter.registry import registry
from django_infra.exporter.runners import get_runner

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

    queryset: QuerySet[Any, Any]
    values: Sequence[str]
    options: dict[str, Any] | None = None

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
    params: dict[str, Any]
    user: Any = None

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
    name = options["name"]
    try:
        named = registry.get(name)
    except UnknownExport as error:
        return _make_model_target(_find_model(name, error), options)
    return _make_named_target(named, options)


def _find_model(label: str, unknown_export: UnknownExport) -> Any:
    try:
        return apps.get_model(label)
    except (LookupError, ValueError) as error:
        reason = str(error) if isinstance(error, LookupError) else ""
        raise CommandError(
            f"{unknown_export} Nor is it a model, as 'app_label.Model' is. {reason}".strip()
        ) from error


def _make_model_target(model: Any, options: dict[str, Any]) -> ModelTarget:
    _refuse(options, NAMED_OPTIONS, f"{model._meta.label} is a model")
    if not options["values"]:
        raise CommandError(
            f"--values is missing: name the fields of {model._meta.label} that may leave the "
            "database."
        )
    queryset = _get_manager(model, options["manager"]).all()
    # Otherwise the routers choose.
    if options["database"] is not None:
        queryset = queryset.using(options["database"])
    try:
        queryset = narrow(queryset, options["filter"] or (), options["order_by"] or ())
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from error
    except (FieldError, TypeError, ValueError) as error:
        raise CommandError(str(error)) from error
    return ModelTarget(
        queryset,
        split_names(options["values"]),
        {"escape_formulas": False} if options["no_escape_formulas"] else None,
    )


def _get_manager(model: Any, name: str | None) -> Any:
    managers = model._meta.managers_map
    if name is None:
        return model._default_manager
    if name not in managers:
        raise CommandError(
            f"--manager is {name!r}, which is no manager of {model._meta.label}. "
            f"Allowed: {', '.join(map(repr, managers))}."
        )
    return managers[name]


def _make_named_target(named: NamedExport, options: dict[str, Any]) -> NamedTarget:
    _refuse(options, MODEL_OPTIONS, f"{named.name!r} is a named export")
    user = None if options["user"] is None else _find_user(options["user"])
    return NamedTarget(named, make_params(options["param"] or ()), user)


def _refuse(options: dict[str, Any], names: dict[str, str], reason: str) -> None:
    if given := [option for name, option in names.items() if options[name]]:
        raise CommandError(f"{reason}, which does not take {', '.join(given)}.")


def _find_user(name: str) -> Any:
    model = get_user_model()
    try:
        return model._default_manager.get_by_natural_key(name)
    except model.DoesNotExist as error:
        raise CommandError(f"There is no user {name!r}.") from error

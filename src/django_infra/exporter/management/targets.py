"""What the command line can export: the rows of a model, or a named export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from django.db.models import QuerySet

from django_infra.exporter import pipeline
from django_infra.exporter.checks import require_settings
from django_infra.exporter.columns import select
from django_infra.exporter.conf import conf
from django_infra.exporter.export import export_queryset, schedule_export
from django_infra.exporter.formats import choose_format, get_writer
from django_infra.exporter.jobs import check_permission, make_job, run_job
from django_infra.exporter.models import QueryExport
from django_infra.exporter.named import NamedExport
from django_infra.exporter.params import serialize
from django_infra.exporter.pipeline import Job
from django_infra.exporter.progress import Watch
from django_infra.exporter.runners import get_runner


class Target(Protocol):
    """What is to be exported, into the storage or without a row."""

    def export(
        self, file_path: str | None, *, format: str | None, watch: Watch | None
    ) -> QueryExport:
        """Export into the storage, in this process, and return the finished row."""

    def make_job(self, output: str | None, *, format: str | None) -> Job:
        """Return the job that writes what the output's extension or the format says."""


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

    def make_job(self, output: str | None, *, format: str | None) -> Job:
        require_settings()
        selection = select(self.queryset, self.values)
        format = choose_format(output, format)
        return Job(
            selection,
            get_writer(format, self.options),
            max_rows=conf.max_rows,
            max_file_size=conf.max_file_size,
        )


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

    def make_job(self, output: str | None, *, format: str | None) -> Job:
        require_settings()
        if self.user is not None:
            check_permission(self.named, self.user)
        format = choose_format(output, format, offered=self.named.get_formats())
        return make_job(self.named, serialize(self.params), user=self.user, format=format)

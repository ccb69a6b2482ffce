from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.files.storage import Storage, storages
from django.db import models, router
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_infra.db.functions import DatabaseTime
from django_infra.db.models import UpdatableModel
from django_infra.exporter.exceptions import describe_error
from django_infra.exporter.fields import ExportFileField
from django_infra.exporter.paths import MAX_FORMAT_LENGTH, MAX_ID_LENGTH, MAX_PATH_LENGTH
from django_infra.exporter.querysets import QueryExportQuerySet
from django_infra.exporter.states import DataPath, ExportState

__all__ = ["DataPath", "ExportState", "QueryExport"]


class QueryExport(UpdatableModel):
    """One export: what it is to write, how far it is, and how it ended."""

    State = ExportState

    id = models.CharField(_("id"), primary_key=True, max_length=MAX_ID_LENGTH, editable=False)
    model_label = models.CharField(_("model"), max_length=200)
    format = models.CharField(_("format"), max_length=MAX_FORMAT_LENGTH)
    state = models.CharField(
        _("state"), max_length=20, choices=ExportState, default=ExportState.SCHEDULED
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("created by"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="query_exports",
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    start_time = models.DateTimeField(_("start time"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    job_time = models.DurationField(_("job time"), null=True, blank=True)
    heartbeat_at = models.DateTimeField(
        _("heartbeat at"),
        null=True,
        blank=True,
        help_text=_("Last sign of the worker, on the database's clock."),
    )
    delivery_started_at = models.DateTimeField(_("delivery started at"), null=True, blank=True)
    data_path = models.CharField(
        _("data path"),
        max_length=20,
        choices=DataPath,
        blank=True,
        help_text=_("Who makes cells of the database's values."),
    )
    row_count = models.PositiveBigIntegerField(_("row count"), null=True, blank=True)
    progress_percent = models.PositiveSmallIntegerField(
        _("progress percent"), null=True, blank=True
    )
    storage_alias = models.CharField(_("storage alias"), max_length=100)
    file_path = models.CharField(_("file path"), max_length=MAX_PATH_LENGTH)
    path_key = models.CharField(  # noqa: DJ001  # a unique column of which many rows have none
        _("path key"),
        max_length=64,
        null=True,
        unique=True,
        editable=False,
        help_text=_("Reserves the path while the export is unfinished."),
    )
    file = ExportFileField(_("file"), max_length=MAX_PATH_LENGTH, blank=True)
    file_size = models.PositiveBigIntegerField(
        _("file size"), null=True, blank=True, help_text=_("In bytes.")
    )
    error_log = models.TextField(_("error log"), blank=True)

    objects = QueryExportQuerySet.as_manager()

    class Meta:
        verbose_name = _("query export")
        verbose_name_plural = _("query exports")
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="exporter_created_idx"),
            models.Index(fields=["created_by", "-created_at"], name="exporter_owner_idx"),
            models.Index(fields=["state", "heartbeat_at"], name="exporter_state_idx"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=ExportState.values), name="exporter_state_known"
            ),
            models.CheckConstraint(
                condition=models.Q(progress_percent__isnull=True)
                | models.Q(progress_percent__lte=100),
                name="exporter_percent_range",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id} ({self.get_state_display()})"

    def __repr__(self) -> str:
        return (
            f"<QueryExport {self.id}: {self.state}, model={self.model_label}, "
            f"rows={self.row_count}, file={self.file.name or None!r}>"
        )

    @property
    def metadata(self) -> dict[str, Any]:
        """The facts of the run, by their fixed names."""
        return {
            "start_time": self.start_time,
            "job_time": self.job_time,
            "file_size": self.file_size,
            "row_count": self.row_count,
            "progress_percent": self.progress_percent,
            "error_log": self.error_log,
        }

    @property
    def storage(self) -> Storage:
        return storages[self.storage_alias]

    @property
    def database(self) -> str:
        """Alias of the database that holds the row."""
        return router.db_for_write(type(self), instance=self)

    def start(self) -> bool:
        """Begin: from Scheduled to Processing."""
        return self._move(
            ExportState.SCHEDULED,
            state=ExportState.PROCESSING,
            start_time=timezone.now(),
            heartbeat_at=DatabaseTime(),
            row_count=0,
        )

    def beat(self, *, row_count: int, progress_percent: int | None) -> bool:
        """Say that the work goes on, and how far it is."""
        return self._move(
            ExportState.PROCESSING,
            row_count=row_count,
            progress_percent=progress_percent,
            data_path=self.data_path,
            heartbeat_at=DatabaseTime(),
        )

    def begin_delivery(self) -> bool:
        """Say that the file is about to be saved, so that from now on it may be in storage."""
        return self._move(
            ExportState.PROCESSING,
            delivery_started_at=timezone.now(),
            data_path=self.data_path,
            heartbeat_at=DatabaseTime(),
        )

    def succeed(self, *, row_count: int, file_size: int, job_time: timedelta) -> bool:
        """End well: from Processing to Success, with the file at its path."""
        return self._move(
            ExportState.PROCESSING,
            state=ExportState.SUCCESS,
            finished_at=timezone.now(),
            job_time=job_time,
            row_count=row_count,
            progress_percent=100,
            file=self.file_path,
            file_size=file_size,
            path_key=None,
        )

    def fail(self, error: BaseException, *, job_time: timedelta | None = None) -> bool:
        """End badly: from Scheduled or Processing to Fail, and give the path free."""
        return self._move(
            ExportState.SCHEDULED,
            ExportState.PROCESSING,
            job_time=job_time,
            data_path=self.data_path,
            **self._get_failure(error),
        )

    def abandon(self, error: BaseException, *, lease: float) -> bool:
        """End badly for want of a heartbeat, unless one has come in the meantime."""
        rows = self._get_row().lost(lease)
        return bool(rows.update(**self._get_failure(error)))

    def is_recorded_as(self, state: ExportState) -> bool:
        """Ask the database whether the row is in the state."""
        return self._get_row().filter(state=state).exists()

    def _get_failure(self, error: BaseException) -> dict[str, Any]:
        return {
            "state": ExportState.FAIL,
            "finished_at": timezone.now(),
            "error_log": describe_error(error),
            "path_key": None,
        }

    def _move(self, *states: ExportState, **changes: Any) -> bool:
        """Write the changes if the row is in one of the states, and say whether it was."""
        if not self._get_row().filter(state__in=states).update(**changes):
            return False
        for name, value in changes.items():
            if not isinstance(value, DatabaseTime):
                setattr(self, name, value)
        return True

    def _get_row(self) -> QueryExportQuerySet:
        return QueryExportQuerySet(type(self), using=self.database).filter(pk=self.pk)

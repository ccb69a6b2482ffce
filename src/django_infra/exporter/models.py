from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.core.files.storage import Storage, storages
from django.db import IntegrityError, models, router
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.translation import gettext_lazy as _

from django_infra.db.functions import DatabaseTime
from django_infra.db.models import UpdatableModel
from django_infra.db.transaction import keep_transaction
from django_infra.exporter.exceptions import FileAlreadyExists, describe_error
from django_infra.exporter.fields import ExportFileField
from django_infra.exporter.paths import (
    MAX_FORMAT_LENGTH,
    MAX_ID_LENGTH,
    MAX_PATH_LENGTH,
    make_path_key,
)

ID_RANDOM_LENGTH = 22  # of 62 characters: 131 bits
ID_MODEL_NAME_LENGTH = 50
INSERT_ATTEMPTS = 3


class ExportState(models.TextChoices):
    SCHEDULED = "scheduled", _("Scheduled")
    """The row exists, and the work has not begun."""

    PROCESSING = "processing", _("Processing")
    """A process reads rows, or saves the file."""

    SUCCESS = "success", _("Success")
    """The file is in storage, whole."""

    FAIL = "fail", _("Fail")
    """There is no file; ``error_log`` says why. This is final."""


class QueryExportQuerySet(models.QuerySet["QueryExport"]):
    def scheduled(self) -> Self:
        return self.filter(state=ExportState.SCHEDULED)

    def processing(self) -> Self:
        return self.filter(state=ExportState.PROCESSING)

    def succeeded(self) -> Self:
        return self.filter(state=ExportState.SUCCESS)

    def failed(self) -> Self:
        return self.filter(state=ExportState.FAIL)

    def lost(self, lease: float) -> Self:
        """Keep the unfinished exports whose worker gave no sign for ``lease`` seconds."""
        return self.filter(
            state__in=[ExportState.SCHEDULED, ExportState.PROCESSING],
            heartbeat_at__lt=DatabaseTime() - timedelta(seconds=lease),
        )

    def visible_to(self, user: Any) -> Self:
        """Keep the user's own exports, or all of them for staff who may view exports."""
        if getattr(user, "is_staff", False) and user.has_perm("exporter.view_queryexport"):
            return self.all()
        # A user without a key would be shown the rows that have no owner.
        return self.none() if user.pk is None else self.filter(created_by=user.pk)

    def schedule(
        self,
        *,
        model: type[models.Model],
        format: str,
        storage_alias: str,
        file_path: str | None = None,
        path_prefix: str = "",
        created_by: Any = None,
    ) -> QueryExport:
        """Create the row of an export that is to write ``file_path``, or a path made of its id.

        Raises FileAlreadyExists if an unfinished export is to write the same path.
        """
        id = make_id(model)
        file_path = file_path or f"{path_prefix}{id}.{format}"
        export = self.model(
            id=id,
            model_label=model._meta.label,
            format=format,
            storage_alias=storage_alias,
            file_path=file_path,
            path_key=make_path_key(storage_alias, file_path),
            created_by=created_by,
            # Whoever creates the row is at work on it, and is lost if it does not go on.
            heartbeat_at=DatabaseTime(),
        )
        using = self._db or router.db_for_write(self.model)  # type: ignore[attr-defined]
        if not export._insert(using):
            raise FileAlreadyExists(
                f"File already exists: another export is writing {file_path!r} "
                f"in storage {storage_alias!r}."
            )
        return export


def make_id(model: type[models.Model]) -> str:
    """Return a new id: the model's name, the time in UTC and 131 random bits."""
    name = model.__name__[:ID_MODEL_NAME_LENGTH]
    return f"{name}-{datetime.now(UTC):%Y%m%d%H%M%S}-{get_random_string(ID_RANDOM_LENGTH)}"


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
            heartbeat_at=DatabaseTime(),
        )

    def begin_delivery(self) -> bool:
        """Say that the file is about to be saved, so that from now on it may be in storage."""
        return self._move(
            ExportState.PROCESSING,
            delivery_started_at=timezone.now(),
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
            state=ExportState.FAIL,
            finished_at=timezone.now(),
            job_time=job_time,
            error_log=describe_error(error),
            path_key=None,
        )

    def is_recorded_as(self, state: ExportState) -> bool:
        """Ask the database whether the row is in the state."""
        return self._get_row().filter(state=state).exists()

    def _insert(self, using: str) -> bool:
        """Insert the row, unless an unfinished export is to write the same path."""
        rows = QueryExportQuerySet(type(self), using=using)
        for attempt in range(INSERT_ATTEMPTS):
            try:
                with keep_transaction(using):
                    self.save(using=using, force_insert=True)
            except IntegrityError:
                if rows.filter(path_key=self.path_key).exists():
                    return False
                # Perhaps the other export has ended in between, and given the path free.
                if attempt == INSERT_ATTEMPTS - 1:
                    raise
            else:
                # Not an expression any more, which a later save() would write again.
                del self.heartbeat_at
                break
        return True

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

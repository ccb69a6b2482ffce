from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.files import File
from django.core.files.storage import Storage, storages
from django.core.serializers.json import DjangoJSONEncoder
from django.db import IntegrityError, OperationalError, connections, models, router, transaction
from django.db.models import Case, Exists, F, Value, When
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.translation import gettext_lazy as _

from django_infra.db.functions import DatabaseNow, DatabaseTime
from django_infra.db.models import UpdatableModel
from django_infra.db.transaction import keep_transaction
from django_infra.exporter.delivery import Left, delete_if_there, get_delivery, is_same
from django_infra.exporter.delivery.paths import (
    MAX_ID_LENGTH,
    MAX_NAME_LENGTH,
    MAX_PATH_LENGTH,
    make_attempt_path,
    make_path_key,
)
from django_infra.exporter.exceptions import (
    DatabaseLocked,
    ExportCancelled,
    FileAlreadyExists,
    TooManyExports,
    describe_error,
)
from django_infra.exporter.models.fields import ExportFileField
from django_infra.exporter.models.leftover import Leftover, LeftoverQuerySet, find_reserving
from django_infra.exporter.models.links import sign
from django_infra.exporter.signals import (
    announce,
    export_expired,
    export_failed,
)
from django_infra.exporter.sources.sessions import Learner, Session, UnknownSession
from django_infra.exporter.states import DataPath, ExportState
from django_infra.exporter.transient_errors import is_locked
from django_infra.exporter.writers import MAX_FORMAT_LENGTH

__all__ = ["DataPath", "ExportState", "Leftover", "QueryExport"]

ID_RANDOM_LENGTH = 22  # of 62 characters: 131 bits
ID_MODEL_NAME_LENGTH = 50
INSERT_ATTEMPTS = 3
TOKEN_LENGTH = 22

# Ends the token of an attempt that may no longer succeed.
SPENT = "."

# What the database's clock says of an export that has begun.
CLOCKED = {"start_time", "finished_at", "expires_at", "file_deleted_at"}


class QueryExportQuerySet(models.QuerySet["QueryExport"]):
    def scheduled(self) -> Self:
        return self.filter(state=ExportState.SCHEDULED)

    def processing(self) -> Self:
        return self.filter(state=ExportState.PROCESSING)

    def succeeded(self) -> Self:
        return self.filter(state=ExportState.SUCCESS)

    def failed(self) -> Self:
        return self.filter(state=ExportState.FAIL)

    def unfinished(self) -> Self:
        return self.filter(state__in=[ExportState.SCHEDULED, ExportState.PROCESSING])

    def lost(self, lease: float) -> Self:
        """Keep those whose worker gave no sign for ``lease`` seconds, and did not clean up.

        That is also an export that was cancelled, and whose worker has not given its path free.
        """
        return self._reserving().filter(_is_lost(lease))

    def waiting(self, timeout: float) -> Self:
        """Keep the jobs that the runner got ``timeout`` seconds ago, and nobody has taken."""
        return self._reserving().filter(_is_waiting(timeout))

    def neglected(self, *, lease: float, timeout: float) -> Self:
        """Keep those that are lost or wait for too long."""
        return self._reserving().filter(_is_lost(lease) | _is_waiting(timeout))

    def _reserving(self) -> Self:
        # Few rows have a path reserved, however many there are.
        return self.filter(path_key__isnull=False)

    def expired(self) -> Self:
        """Keep the exports whose file should be deleted by now, on the database's clock."""
        return self.succeeded().exclude(file="").filter(expires_at__lte=DatabaseNow())

    def deletable(self, lease: float) -> Self:
        """Keep the finished exports whose file nobody is about to delete."""
        is_stale = models.Q(heartbeat_at__lt=_get_time_before(lease))
        return self.filter(models.Q(path_key__isnull=True) | is_stale)

    def outlived(self, period: timedelta) -> Self:
        """Keep the exports whose file is gone, or that have failed, for so long."""
        end = DatabaseNow() - period
        # Code that deletes a file by ``export.file.delete()`` does not say when.
        is_gone = models.Q(file_deleted_at__lte=end) | models.Q(
            file_deleted_at__isnull=True, finished_at__lte=end
        )
        return self.filter(
            models.Q(is_gone, state=ExportState.SUCCESS, file="")
            | models.Q(state=ExportState.FAIL, path_key__isnull=True, finished_at__lte=end)
        )

    def inheriting(self, export: QueryExport) -> Self:
        """Keep the other exports that have saved a file under the name of this one, or may have."""
        key = make_path_key(export.storage_alias, export.object_name)
        return self.exclude(pk=export.pk).having(key)

    def having(self, object_key: str) -> Self:
        """Keep those that have saved a file under the name of the key, or may have."""
        has_file = models.Q(state=ExportState.SUCCESS) & ~models.Q(file="")
        may_save = models.Q(path_key__isnull=False, delivery_started_at__isnull=False)
        return self.filter(has_file | may_save, object_key=object_key)

    def referring(self, names: Collection[str]) -> Self:
        """Keep the exports that have a file of one of the names, or may save one.

        Of any storage, as two aliases may stand for one place.
        """
        may_save = models.Q(object_name__in=names, path_key__isnull=False)
        return self.filter(models.Q(file__in=names) | may_save)

    def visible_to(self, user: Any) -> Self:
        """Keep the user's own exports, or all of them for staff who may view exports."""
        if may_view_all(user):
            return self.all()
        # Something else may have the key of a user, and one without a key would be shown the rows
        # that have no owner.
        is_owner = isinstance(user, get_user_model()) and user.pk is not None
        return self.filter(created_by=user.pk) if is_owner else self.none()

    def schedule(
        self,
        *,
        model: type[models.Model],
        format: str,
        storage_alias: str,
        file_path: str | None = None,
        path_prefix: str = "",
        created_by: Any = None,
        max_active: int | None = None,
        columns: Sequence[Mapping[str, str | None]] = (),
        **job: Any,
    ) -> QueryExport:
        """Create the row of an export that is to write ``file_path``, or a path made of its id.

        ``job`` holds the fields of a job that a runner gets; without any the caller is at work.
        Raises FileAlreadyExists if an unfinished export is to write the same path, and
        TooManyExports if the user has ``max_active`` unfinished ones.
        """
        id = make_id(model)
        file_path = file_path or f"{path_prefix}{id}.{format}"
        key = make_path_key(storage_alias, file_path)
        export = self.model(
            id=id,
            model_label=model._meta.label,
            columns=list(columns),
            format=format,
            storage_alias=storage_alias,
            file_path=file_path,
            object_name=file_path,
            object_key=key,
            path_key=key,
            created_by=created_by,
            owner_key="" if created_by is None else str(created_by.pk),
            # A caller at work is lost if it does not go on; a job may wait for long.
            **(
                {"handed_over_at": DatabaseTime(), **job}
                if job
                else {"heartbeat_at": DatabaseTime()}
            ),
        )
        using = self._db or router.db_for_write(self.model)  # type: ignore[attr-defined]
        rows = self.using(using)
        if created_by is None or max_active is None:
            rows._insert_export(export)
        else:
            rows._insert_limited(export, max_active)
        return export

    def _insert_limited(self, export: QueryExport, max_active: int) -> None:
        """Insert and then count, so that of two at once one sees the other."""
        with transaction.atomic(using=self.db):
            _lock(export.created_by, using=self.db)
            self._insert_export(export)
            count = self.unfinished().filter(created_by=export.created_by).count()
            if count > max_active:
                raise TooManyExports(
                    f"{export.created_by} has {count - 1} unfinished exports, and "
                    f"EXPORTER_MAX_ACTIVE_PER_USER allows {max_active}."
                )

    def _insert_export(self, export: QueryExport) -> None:
        for attempt in range(INSERT_ATTEMPTS):
            try:
                with keep_transaction(self.db):
                    export.save(using=self.db, force_insert=True)
            except IntegrityError:
                if self.filter(path_key=export.path_key).exists():
                    raise FileAlreadyExists(
                        f"File already exists: another export is writing {export.file_path!r} "
                        f"in storage {export.storage_alias!r}."
                    ) from None
                # Perhaps the other export has ended in between, and given the path free.
                if attempt == INSERT_ATTEMPTS - 1:
                    raise
            else:
                break
        # Expressions no more, which a later save() would write again. Where INSERT returns
        # nothing, Django 6 has removed them by itself.
        for name in ("heartbeat_at", "handed_over_at"):
            if isinstance(export.__dict__.get(name), DatabaseTime):
                del export.__dict__[name]


class QueryExport(UpdatableModel):
    """One export: what it is to write, how far it is, and how it ended."""

    State = ExportState

    id = models.CharField(_("id"), primary_key=True, max_length=MAX_ID_LENGTH, editable=False)
    name = models.CharField(
        _("name"),
        max_length=MAX_NAME_LENGTH,
        blank=True,
        help_text=_("Of the named export; empty for a queryset that was in hand."),
    )
    params = models.JSONField(
        _("parameters"),
        default=dict,
        blank=True,
        encoder=DjangoJSONEncoder,
        help_text=_("What the form of the named export was given."),
    )
    language = models.CharField(_("language"), max_length=20, blank=True)
    time_zone = models.CharField(_("time zone"), max_length=100, blank=True)
    model_label = models.CharField(_("model"), max_length=200)
    columns = models.JSONField(
        _("columns"),
        default=list,
        blank=True,
        help_text=_("Name, null for an expression, and header of each."),
    )
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
    owner_key = models.CharField(
        _("owner's key"),
        max_length=255,
        blank=True,
        editable=False,
        help_text=_("Of created_by, also when that user is gone."),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    handed_over_at = models.DateTimeField(
        _("handed over at"),
        null=True,
        blank=True,
        help_text=_("Last time that the runner was given the job, on the database's clock."),
    )
    attempt = models.PositiveSmallIntegerField(
        _("attempt"), default=0, help_text=_("How often the work has begun.")
    )
    failures = models.JSONField(
        _("failed attempts"),
        default=list,
        blank=True,
        encoder=DjangoJSONEncoder,
        help_text=_("Number, start, end and error of the attempts before the last one."),
    )
    token = models.CharField(
        _("token"),
        max_length=TOKEN_LENGTH + len(SPENT),
        blank=True,
        editable=False,
        help_text=_("Of the attempt that alone may write to the row."),
    )
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
    object_name = models.CharField(
        _("object name"),
        max_length=MAX_PATH_LENGTH,
        help_text=_("What the attempt saves its file as: the file path, unless one has failed."),
    )
    object_key = models.CharField(
        _("object key"),
        max_length=64,
        blank=True,
        editable=False,
        db_index=True,
        help_text=_("Stands for the object name in its storage."),
    )
    path_key = models.CharField(  # noqa: DJ001  # a unique column of which many rows have none
        _("path key"),
        max_length=64,
        null=True,
        unique=True,
        editable=False,
        help_text=_("Reserves the object name while anybody may write or delete there."),
    )
    file = ExportFileField(_("file"), max_length=MAX_PATH_LENGTH, blank=True)
    file_size = models.PositiveBigIntegerField(
        _("file size"), null=True, blank=True, help_text=_("In bytes.")
    )
    checksum = models.CharField(
        _("checksum"),
        max_length=64,
        blank=True,
        help_text=_("SHA-256 of the file, in hexadecimal."),
    )
    file_facts = models.JSONField(
        _("facts of the file"),
        default=dict,
        blank=True,
        editable=False,
        help_text=_("What the storage told of the file, saved under a path that was asked for."),
    )
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    file_deleted_at = models.DateTimeField(
        _("file deleted at"),
        null=True,
        blank=True,
        help_text=_("When the file had expired, or was found to be gone."),
    )
    error_log = models.TextField(_("error log"), blank=True)

    objects = QueryExportQuerySet.as_manager()

    # Does the attempt leave nothing that only a recovery can judge?
    is_clean = True

    # Since when the database did not answer this process, by its monotonic clock.
    away_since: float | None = None

    # Those that the attempt really has, for the next write to tell where the row has others.
    found_columns: list[dict[str, str | None]] | None = None

    # In which the attempt was begun, for another connection that is to find the row.
    session: Session = UnknownSession()

    # When the last heartbeat of the attempt was sent, on this process's own clock.
    heard_at = 0.0

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

    @property
    def temp_name(self) -> str:
        """Name of the attempt's temporary file, without its suffix."""
        return f"{self.id}-{self.attempt}"

    @property
    def has_ended(self) -> bool:
        return self.state in (ExportState.SUCCESS, ExportState.FAIL)

    @property
    def has_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def is_downloadable(self) -> bool:
        """Whether there is a file, as far as the row knows, and its time is not over."""
        return self.state == ExportState.SUCCESS and bool(self.file) and not self.has_expired

    @property
    def estimated_seconds_left(self) -> int | None:
        """How long the work goes on at the speed until the last heartbeat, if that is known."""
        if self.state != ExportState.PROCESSING or not self.progress_percent:
            return None
        if self.start_time is None or self.heartbeat_at is None:
            return None
        seconds = (self.heartbeat_at - self.start_time).total_seconds()
        # The clocks are the worker's and the database's.
        return math.ceil(max(seconds, 0) * (100 - self.progress_percent) / self.progress_percent)

    @property
    def has_own_name(self) -> bool:
        """Whether nobody else would save anything under the attempt's name."""
        return self.attempt > 1 or self.id in self.object_name

    @property
    def uploads_since(self) -> datetime | None:
        """When the first upload of the attempt may have begun; None if all are of the export."""
        return None if self.has_own_name else self.start_time

    def is_owned_by(self, user: Any) -> bool:
        # Something else may have the key of a user.
        is_user = isinstance(user, get_user_model()) and user.pk is not None
        return is_user and self.created_by_id == user.pk

    def signed_url(self, *, expires: timedelta | float) -> str:
        """Return the path of a download for whoever has it, until ``expires`` is over.

        ``expires`` is a timedelta or seconds. The host goes in front of it. Raises InvalidLimit.
        """
        return reverse("exporter:exporter-signed", args=[sign(self.pk, expires=expires)])

    def may_work_on(self, attempt: int) -> bool:
        """Tell whether a worker may be at the attempt, or about to stop."""
        is_over = self.has_ended and self.path_key is None
        return not is_over and attempt >= self.attempt

    def claim(self, token: str) -> bool:
        """Begin an attempt, which alone may write to the row: from Scheduled to Processing."""
        rows = self._get_row().filter(state=ExportState.SCHEDULED, attempt=self.attempt)
        # A later attempt has a name of its own.
        return self._begin_attempt(rows if self.attempt else self._keep_free(rows), token)

    def try_again(self, token: str, error: BaseException) -> bool:
        """Begin the next attempt after one that has left nothing behind."""
        failures = self._add_failure(error)
        return self._begin_attempt(self._get_claimed(), token, failures=failures)

    def reschedule(self, error: BaseException, *, lease: float) -> bool:
        """Leave the next attempt to another worker: from Processing to Scheduled.

        For want of a heartbeat, unless one has come in the meantime.
        """
        return self._write(
            self._get_claimed().lost(lease),
            state=ExportState.SCHEDULED,
            failures=self._add_failure(error),
            token="",
            heartbeat_at=None,
            handed_over_at=DatabaseTime(),
        )

    def hand_over_again(self, *, timeout: float) -> bool:
        """Say that the runner gets the job once more, since nobody has taken it for so long."""
        return self._write(
            self._get_row().waiting(timeout).filter(attempt=self.attempt),
            handed_over_at=DatabaseTime(),
        )

    def give_up(self, error: BaseException, *, timeout: float) -> bool:
        """End badly what was handed over so long ago, and nobody has taken."""
        rows = self._get_row().waiting(timeout).filter(attempt=self.attempt)
        return self._end_badly(rows, error, path_key=None)

    def beat(self, *, row_count: int, progress_percent: int | None) -> bool:
        """Say that the work goes on, and how far it is."""
        return self._write(
            self._get_claimed(),
            row_count=row_count,
            progress_percent=progress_percent,
            heartbeat_at=DatabaseTime(),
            **self._get_findings(),
        )

    def keep_alive(self) -> bool:
        """Say that the work goes on, of which there is nothing to count."""
        return self._write(self._get_claimed(), heartbeat_at=DatabaseTime())

    def begin_delivery(self, *, file_facts: Mapping[str, Any] | None = None) -> bool:
        """Say that the file is about to be saved, so that from now on it may be in storage."""
        return self._write(
            self._keep_free(self._get_claimed()),
            delivery_started_at=timezone.now(),
            file_facts=dict(file_facts or {}),
            heartbeat_at=DatabaseTime(),
            **self._get_findings(),
        )

    def succeed(
        self,
        *,
        row_count: int,
        file_size: int,
        job_time: timedelta,
        checksum: str = "",
        file_facts: Mapping[str, Any] | None = None,
        expires_in: timedelta | None = None,
    ) -> bool:
        """End well: from Processing to Success, with the file in storage."""
        now = DatabaseNow()
        return self._write(
            self._get_claimed(),
            state=ExportState.SUCCESS,
            finished_at=now,
            job_time=job_time,
            row_count=row_count,
            progress_percent=100,
            file=self.object_name,
            file_size=file_size,
            checksum=checksum,
            file_facts=dict(file_facts or {}),
            expires_at=None if expires_in is None else now + expires_in,
            path_key=None,
        )

    def preclude_success(self) -> bool:
        """Keep a Success that is on its way from coming true, and say whether that was possible.

        A lost connection does not tell whether what it was asked has been done, or will be.
        """
        token = self.token.removesuffix(SPENT)
        rows = self._get_row().processing().filter(token__in=[token, token + SPENT])
        return self._write(rows, token=token + SPENT)

    def fail(self, error: BaseException, *, job_time: timedelta | None = None) -> bool:
        """End badly, from Scheduled or Processing to Fail, with nothing left behind."""
        rows = self._get_row().unfinished().filter(token=self.token)
        freed = {"path_key": None} if self.is_clean else {}
        return self._end_badly(rows, error, job_time=job_time, **self._get_findings(), **freed)

    def abandon(self, error: BaseException, *, lease: float) -> bool:
        """End badly for want of a heartbeat, unless one has come in the meantime.

        The path stays reserved until what the worker left there is removed.
        """
        rows = self._get_row().unfinished().filter(token=self.token).lost(lease)
        return self._end_badly(rows, error, heartbeat_at=DatabaseTime())

    def begin_cleaning(self, *, lease: float) -> bool:
        """Say that what a lost worker left of a failed export is being removed."""
        return self._write(self._get_row().failed().lost(lease), heartbeat_at=DatabaseTime())

    def cancel(self, *, by: Any = None) -> bool:
        """End the export if it is unfinished, and say whether it was.

        The row is Fail at once, with who and when in ``error_log``. A worker stops within two
        seconds, and with it the query on the server; it leaves no file. Raises DatabaseLocked where
        SQLite lets nobody write for longer than its ``timeout``, since rows are being read.
        """
        who = "" if by is None else f" by {by.get_username()}"
        error = ExportCancelled(f"Cancelled{who} at {timezone.now().isoformat(' ', 'seconds')}.")
        # Who has begun may not have stopped yet, and needs the path until then.
        path_key = Case(When(attempt=0, then=Value(None)), default=F("path_key"))
        try:
            return self._end_badly(
                self._get_row().unfinished(), error, path_key=path_key, heartbeat_at=DatabaseTime()
            )
        except OperationalError as failure:
            if not is_locked(failure):
                raise
            raise DatabaseLocked(
                f"{self.id} cannot be cancelled now: the database is locked. Without a write-ahead "
                "log SQLite lets nobody write while an export reads its rows. Try again later, or "
                "turn the log on: PRAGMA journal_mode=WAL."
            ) from failure

    def release(self) -> bool:
        """Give free the path of an export that has failed, and has left nothing there."""
        return self.is_clean and self._write(self._get_uncleaned(), path_key=None)

    def hold_path(self) -> bool:
        """Say that the worker of a cancelled export has not stopped yet."""
        return self._write(self._get_uncleaned(), heartbeat_at=DatabaseTime())

    def expire(self, *, lease: float) -> bool:
        """Delete the file, unless somebody else is at it, and keep the row.

        Raises what the storage raises; the row then still has its file.
        """
        name = str(self.file.name)
        key = make_path_key(self.storage_alias, name)
        rows = self._get_row().expired().filter(file=name)
        if not self._reserve(rows.deletable(lease), key):
            return False
        try:
            if self.has_own_file() and not self.has_heir():
                delete_if_there(self.storage, name)
            self.remove_second_names()
        except BaseException:
            self._write(self._get_row().filter(file=name, path_key=key), path_key=None)
            raise
        # What has become of expires_at meanwhile does not bring the file back.
        rows = self._get_row().filter(file=name, path_key=key)
        if self._write(rows, file="", file_deleted_at=DatabaseNow(), path_key=None):
            announce(export_expired, self)
        return True

    def has_own_file(self, file: File[Any] | None = None) -> bool:
        """Tell whether what has the name is the file that was saved: the open one, if it is.

        Nobody else saves anything under a name of our own. Raises what the storage raises if it
        does not know.
        """
        name = str(self.file.name)
        return self.has_own_name or is_same(self.storage, name, self.file_facts, file)

    def remember(self, left: Left) -> None:
        """Keep the name of what could not be deleted from others until it is."""
        LeftoverQuerySet(Leftover, using=self.database).remember(
            left,
            storage_alias=self.storage_alias,
            export_id=str(self.pk),
            attempt=self.attempt,
            began_at=self.uploads_since,
        )

    def is_barred(self) -> bool:
        """Tell whether something may lie under the name that could not be deleted yet."""
        return find_reserving(self.database, self.storage_alias, self.object_name).exists()

    def remove_second_names(self) -> None:
        """Remove the names that the file had before it was saved, if any are left."""
        get_delivery(
            self.storage, str(self.file.name), temp_name=self.temp_name
        ).remove_temp_files()

    def lose_file(self) -> bool:
        """Say that the file is not in storage any more, unless somebody is deleting it."""
        rows = self._get_row().succeeded().filter(file=str(self.file.name), path_key__isnull=True)
        return self._write(rows, file="", file_deleted_at=DatabaseNow())

    def has_heir(self) -> bool:
        """Tell whether another export has saved a file under the same name, or is about to.

        The file of this one was deleted by hand then, or its worker has stalled.
        """
        return not self.has_own_name and self._get_rows().inheriting(self).exists()

    def inherit(self) -> None:
        """Say in other rows that their file, which had the same name, is gone."""
        if not self.has_own_name:
            self._get_rows().inheriting(self).succeeded().update(
                file="", file_deleted_at=DatabaseNow()
            )

    def is_there(self) -> bool:
        """Ask the database whether there is the row, in whatever state."""
        return self._get_row().exists()

    def is_recorded_as(self, state: ExportState, *, token: str | None = None) -> bool:
        """Ask the database whether the row is in the state, by this attempt."""
        token = self.token if token is None else token
        return self._get_row().filter(state=state, token=token).exists()

    def has_failed_by(self, error: BaseException) -> bool:
        """Ask the database whether the row has failed by the error, in this attempt."""
        found = self._get_row().failed().filter(token=self.token).values_list("error_log")
        return list(found) == [(describe_error(error),)]

    def _begin_attempt(self, rows: QueryExportQuerySet, token: str, **changes: Any) -> bool:
        attempt = self.attempt + 1
        name = make_attempt_path(self.file_path, attempt=attempt, token=token)
        key = make_path_key(self.storage_alias, name)
        learner = Learner(connections[self.database], self._meta.db_table)
        with learner.listen():
            has_begun = self._write(
                rows,
                state=ExportState.PROCESSING,
                attempt=attempt,
                token=token,
                object_name=name,
                object_key=key,
                path_key=key,
                start_time=DatabaseNow(),
                heartbeat_at=DatabaseTime(),
                delivery_started_at=None,
                file_facts={},
                row_count=0,
                progress_percent=None,
                **changes,
            )
        if has_begun:
            self.session = learner.session
        return has_begun

    def _end_badly(self, rows: QueryExportQuerySet, error: BaseException, **changes: Any) -> bool:
        has_ended = self._write(
            rows,
            **changes,
            state=ExportState.FAIL,
            finished_at=DatabaseNow(),
            error_log=describe_error(error),
        )
        if has_ended:
            announce(export_failed, self)
        return has_ended

    def _get_findings(self) -> dict[str, Any]:
        """Return what the attempt has learnt of itself, for a write that is due anyway."""
        findings: dict[str, Any] = {"data_path": self.data_path}
        if self.found_columns not in (None, self.columns):
            findings["columns"] = self.found_columns
        return findings

    def _add_failure(self, error: BaseException) -> list[dict[str, Any]]:
        failure = {
            "attempt": self.attempt,
            "started_at": self.start_time,
            "ended_at": timezone.now(),
            "error": describe_error(error),
        }
        return [*self.failures, failure]

    def _reserve(self, rows: QueryExportQuerySet, key: str) -> bool:
        """Keep others from taking the path between the two deletions of two processes."""
        try:
            with keep_transaction(self.database):
                return self._write(rows, path_key=key, heartbeat_at=DatabaseTime())
        except IntegrityError:
            # An export has it, which found no file there.
            return False

    def _write(self, rows: QueryExportQuerySet, **changes: Any) -> bool:
        """Write the changes if the rows hold the row, and say whether they did."""
        sent_at = time.monotonic()
        if not rows.update(**changes):
            return False
        if "heartbeat_at" in changes:
            self.heard_at = sent_at
        for name, value in changes.items():
            if not hasattr(value, "resolve_expression"):
                setattr(self, name, value)
            elif name in CLOCKED:
                # Only the database knows, and is asked by whoever wants to know.
                self.__dict__.pop(name, None)
        return True

    def _keep_free(self, rows: QueryExportQuerySet) -> QueryExportQuerySet:
        """Keep the rows unless something may lie under the name that could not be deleted."""
        if self.has_own_name:
            return rows
        leftovers = find_reserving(self.database, self.storage_alias, self.object_name)
        return rows.filter(~Exists(leftovers))

    def _get_uncleaned(self) -> QueryExportQuerySet:
        return self._get_row().failed().filter(token=self.token, path_key__isnull=False)

    def _get_claimed(self) -> QueryExportQuerySet:
        return self._get_row().processing().filter(token=self.token)

    def _get_row(self) -> QueryExportQuerySet:
        return self._get_rows().filter(pk=self.pk)

    def _get_rows(self) -> QueryExportQuerySet:
        return QueryExportQuerySet(type(self), using=self.database)


def may_view_all(user: Any) -> bool:
    """Tell whether the user may see the exports of others."""
    return getattr(user, "is_staff", False) and user.has_perm("exporter.view_queryexport")


def make_id(model: type[models.Model]) -> str:
    """Return a new id: the model's name, the time in UTC and 131 random bits."""
    name = model.__name__[:ID_MODEL_NAME_LENGTH]
    return f"{name}-{datetime.now(UTC):%Y%m%d%H%M%S}-{get_random_string(ID_RANDOM_LENGTH)}"


def make_token() -> str:
    """Return what tells one attempt of an export from all others."""
    return get_random_string(TOKEN_LENGTH)


def _is_lost(lease: float) -> models.Q:
    return models.Q(
        state__in=[ExportState.SCHEDULED, ExportState.PROCESSING, ExportState.FAIL],
        heartbeat_at__lt=_get_time_before(lease),
    )


def _is_waiting(timeout: float) -> models.Q:
    return models.Q(
        state=ExportState.SCHEDULED,
        heartbeat_at__isnull=True,
        handed_over_at__lt=_get_time_before(timeout),
    )


def _get_time_before(seconds: float) -> Any:
    return DatabaseTime() - timedelta(seconds=seconds)


def _lock(user: Any, *, using: str) -> None:
    """Let only one at a time count the user's exports; SQLite has one writer anyway."""
    if connections[using].features.has_select_for_update:
        users = get_user_model()._base_manager
        list(users.using(using).select_for_update().filter(pk=user.pk))

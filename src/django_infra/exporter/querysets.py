from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from django.contrib.auth import get_user_model
from django.db import IntegrityError, connections, models, router, transaction
from django.utils.crypto import get_random_string

from django_infra.db.functions import DatabaseNow, DatabaseTime
from django_infra.db.transaction import keep_transaction
from django_infra.exporter.exceptions import FileAlreadyExists, TooManyExports
from django_infra.exporter.paths import make_path_key
from django_infra.exporter.states import ExportState

if TYPE_CHECKING:
    from django_infra.exporter.models import QueryExport

ID_RANDOM_LENGTH = 22  # of 62 characters: 131 bits
ID_MODEL_NAME_LENGTH = 50
INSERT_ATTEMPTS = 3
TOKEN_LENGTH = 22


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

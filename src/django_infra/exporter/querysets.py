from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from django.db import IntegrityError, models, router
from django.utils.crypto import get_random_string

from django_infra.db.functions import DatabaseTime
from django_infra.db.transaction import keep_transaction
from django_infra.exporter.exceptions import FileAlreadyExists
from django_infra.exporter.paths import make_path_key
from django_infra.exporter.states import ExportState

if TYPE_CHECKING:
    from django_infra.exporter.models import QueryExport

ID_RANDOM_LENGTH = 22  # of 62 characters: 131 bits
ID_MODEL_NAME_LENGTH = 50
INSERT_ATTEMPTS = 3


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
        self.using(using)._insert_export(export)
        return export

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
        # An expression no more, which a later save() would write again. Where INSERT returns
        # nothing, Django 6 has removed it by itself.
        export.__dict__.pop("heartbeat_at", None)


def make_id(model: type[models.Model]) -> str:
    """Return a new id: the model's name, the time in UTC and 131 random bits."""
    name = model.__name__[:ID_MODEL_NAME_LENGTH]
    return f"{name}-{datetime.now(UTC):%Y%m%d%H%M%S}-{get_random_string(ID_RANDOM_LENGTH)}"

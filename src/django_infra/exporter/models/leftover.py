"""Names in a storage under which something may lie that could not be deleted."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.core.files.storage import Storage, storages
from django.db import IntegrityError, models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_infra.db.functions import DatabaseTime
from django_infra.db.transaction import keep_transaction
from django_infra.exporter.delivery import Left, may_be_same
from django_infra.exporter.delivery.paths import MAX_ID_LENGTH, MAX_PATH_LENGTH, make_path_key


class LeftoverQuerySet(models.QuerySet["Leftover"]):
    def remember(
        self,
        left: Left,
        *,
        storage_alias: str,
        export_id: str,
        attempt: int,
        began_at: datetime | None,
    ) -> None:
        """Keep the name from others until what may lie there is deleted."""
        key = make_path_key(storage_alias, left.name)
        leftover = self.model(
            storage_alias=storage_alias,
            object_name=left.name,
            object_key=key,
            upload_id=left.upload_id,
            export_id=export_id,
            attempt=attempt,
            began_at=began_at,
            file_facts=dict(left.facts),
            max_size=left.max_size,
        )
        try:
            with keep_transaction(self.db):
                leftover.save(using=self.db, force_insert=True)
        except IntegrityError:
            # It is remembered already, perhaps for another upload.
            if left.upload_id:
                self.filter(object_key=key).update(upload_id=left.upload_id)

    def reserving(self, storage_alias: str, name: str) -> LeftoverQuerySet:
        """Keep that which nobody may save under the name for."""
        return self.filter(object_key=make_path_key(storage_alias, name))

    def idle(self, lease: float) -> LeftoverQuerySet:
        """Keep those that nobody is about to delete."""
        end = DatabaseTime() - timedelta(seconds=lease)
        return self.filter(models.Q(tried_at__isnull=True) | models.Q(tried_at__lt=end))


class Leftover(models.Model):
    """One name that is kept from others until a deletion has worked, or nothing is there."""

    storage_alias = models.CharField(_("storage alias"), max_length=100)
    object_name = models.CharField(_("object name"), max_length=MAX_PATH_LENGTH)
    object_key = models.CharField(
        _("object key"),
        max_length=64,
        unique=True,
        help_text=_("Stands for the object name in its storage."),
    )
    upload_id = models.TextField(
        _("upload id"), blank=True, help_text=_("Of an upload that could not be aborted.")
    )
    # Not a key of another row: this one outlives it.
    export_id = models.CharField(_("export id"), max_length=MAX_ID_LENGTH, db_index=True)
    attempt = models.PositiveSmallIntegerField(_("attempt"))
    began_at = models.DateTimeField(
        _("began at"),
        null=True,
        blank=True,
        help_text=_("Uploads that have begun before are of others; empty if there are no others."),
    )
    file_facts = models.JSONField(
        _("facts of the file"),
        default=dict,
        blank=True,
        help_text=_("What the storage told of the file, to know it again."),
    )
    max_size = models.PositiveBigIntegerField(
        _("max size"), null=True, blank=True, help_text=_("Of the file in bytes, if it is whole.")
    )
    saved_by = models.DateTimeField(
        _("saved by"),
        default=timezone.now,
        help_text=_("What the storage has got later is of others."),
    )
    tried_at = models.DateTimeField(
        _("tried at"),
        null=True,
        blank=True,
        help_text=_("When a deletion has begun, on the database's clock."),
    )

    objects = LeftoverQuerySet.as_manager()

    class Meta:
        verbose_name = _("leftover")
        verbose_name_plural = _("leftovers")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.object_name} in {self.storage_alias}"

    @property
    def storage(self) -> Storage:
        return storages[self.storage_alias]

    @property
    def has_own_name(self) -> bool:
        """Whether nobody else would save anything under the name."""
        return self.attempt > 1 or self.export_id in self.object_name

    def is_ours(self) -> bool:
        """Tell whether what has the name may be deleted, as far as is known.

        Raises what the storage raises if it does not know.
        """
        return self.has_own_name or may_be_same(
            self.storage,
            self.object_name,
            self.file_facts,
            max_size=self.max_size,
            saved_by=self.saved_by,
        )

    def begin_deletion(self, *, lease: float) -> bool:
        """Say that a deletion begins, unless one has begun, or there is nothing any more."""
        return bool(self._get_row().idle(lease).update(tried_at=DatabaseTime()))

    def put_back(self) -> None:
        """Say that the deletion has failed, and another may begin."""
        self._get_row().update(tried_at=None)

    def forget(self) -> None:
        """Give the name free."""
        self._get_row().delete()

    def _get_row(self) -> LeftoverQuerySet:
        return LeftoverQuerySet(type(self), using=self._state.db).filter(pk=self.pk)


def find_reserving(using: str, storage_alias: str, name: str) -> LeftoverQuerySet:
    """Return the leftover that keeps the name from others, if there is one."""
    return LeftoverQuerySet(Leftover, using=using).reserving(storage_alias, name)

from __future__ import annotations

from typing import Protocol

from django.core.files.storage import Storage, storages
from django.db import models
from django.db.models.fields.files import FieldFile


class Stored(Protocol):
    """A row that knows where its file is."""

    storage_alias: str


class ExportFile(FieldFile):
    """The stored file, in the storage that the row names."""

    instance: Stored  # type: ignore[assignment]

    @property
    def storage(self) -> Storage:
        return storages[self.instance.storage_alias]

    @storage.setter
    def storage(self, storage: Storage) -> None:
        """Ignore the storage of the field, which FieldFile assigns."""


class ExportFileField(models.FileField):
    attr_class = ExportFile

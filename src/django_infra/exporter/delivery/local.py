from __future__ import annotations

import errno
import os
from pathlib import Path

from django.core.files.storage import FileSystemStorage
from django.utils.crypto import get_random_string

from django_infra.exporter.delivery.base import Delivery
from django_infra.exporter.delivery.filesystem import FileSystemDelivery
from django_infra.exporter.exceptions import FileAlreadyExists


class LocalDelivery(FileSystemDelivery):
    """Put the file at a path of the user's, whole, with the mode that the user's files have."""

    def __init__(self, path: Path, *, overwrites: bool = False) -> None:
        # Through a symbolic link, as a shell writes.
        path = path.resolve()
        self.overwrites = overwrites
        super().__init__(
            FileSystemStorage(location=path.parent),
            path.name,
            temp_name=f"export-{get_random_string(22)}",
            may_stay=lambda: True,
        )

    def prepare(self) -> None:
        """Raise OSError for a folder that is not there, and FileAlreadyExists."""
        target = self.target
        if not target.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(target.parent))
        if target.exists() and not target.is_file():
            raise FileAlreadyExists(f"{str(target)!r} is there, and no regular file.")
        if target.exists() and not self.overwrites:
            raise self._make_exists_error()
        super().prepare()

    def get_temp_paths(self) -> list[Path]:
        """Return the one in the folder of the target, where nothing is moved from elsewhere."""
        return super().get_temp_paths()[1:]

    def stage(self) -> None:
        """Leave the file where it is."""
        Delivery.stage(self)

    def save(self) -> None:
        self._check_own(self.temp_path)
        if self.overwrites:
            # The file that is replaced could be read until now.
            self._set_permissions()
            os.replace(self.temp_path, self.target)
            return
        try:
            self._move()
        except FileExistsError as error:
            raise self._make_exists_error() from error
        self._set_permissions()

    def _set_permissions(self) -> None:
        mask = os.umask(0)
        os.umask(mask)
        self._set_mode(0o666 & ~mask)

    def _make_exists_error(self) -> FileAlreadyExists:
        return FileAlreadyExists(f"File already exists: {str(self.target)!r}.")

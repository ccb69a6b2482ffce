"""Have files and the names of files on the disk, where they outlive a crash of the host."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from django.core.files.storage import Storage

from django_infra.exporter.conf import conf

# What file systems answer that have nothing to do, or do not know how.
NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EROFS}


def sync_file(descriptor: int) -> None:
    """Wait until what is in the open file is on the disk, unless EXPORTER_FSYNC is off."""
    if not conf.fsync:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise


def sync_folder(folder: Path) -> None:
    """Wait until the names in the folder are on the disk, unless EXPORTER_FSYNC is off."""
    # Windows opens no folders, and whoever may only enter one cannot open it either.
    if not conf.fsync or os.name == "nt":
        return
    with suppress(PermissionError):
        _sync_path(folder)


def sync_saved(storage: Storage, name: str) -> None:
    """Wait until a file of a storage that lies on this machine is on the disk."""
    if not conf.fsync or os.name == "nt":
        return
    try:
        path = Path(storage.path(name))
    except NotImplementedError:
        return
    root = Path(getattr(storage, "location", path.parent))
    folders = [folder for folder in path.parents if folder.is_relative_to(root)]
    # The storage may keep the file elsewhere, or not let it be read.
    with suppress(FileNotFoundError, PermissionError):
        _sync_path(path)
    for folder in folders or [path.parent]:
        with suppress(FileNotFoundError):
            sync_folder(folder)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        sync_file(descriptor)
    finally:
        os.close(descriptor)

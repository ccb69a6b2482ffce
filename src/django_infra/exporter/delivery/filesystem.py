from __future__ import annotations

import errno
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from django.core.files.storage import FileSystemStorage

from django_infra.exporter.conf import conf
from django_infra.exporter.delivery.base import TEMP_SUFFIX, Delivery, make_exists_error


class FileSystemDelivery(Delivery):
    """Move the file into Django's FileSystemStorage.

    ``FileSystemStorage.save()`` looks whether the name is free and then renames, so that of two
    files one replaces the other. A hard link is made only if the name is free.
    """

    storage: FileSystemStorage

    @property
    def target(self) -> Path:
        return Path(self.storage.path(self.name))

    def prepare(self) -> None:
        parent = next(path for path in self.target.parents if path.exists())
        if not parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(parent))
        if not os.access(parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(parent))

    def get_temp_dir(self) -> str:
        """Return a folder on the storage's file system: the system's, or the storage's root."""
        if conf.temp_dir:
            return conf.temp_dir
        root = Path(self.storage.location)
        self._make_folder(root)
        system = tempfile.gettempdir()
        return system if os.stat(system).st_dev == root.stat().st_dev else str(root)

    def has_delivered(self) -> bool:
        """Tell whether it is our file: another may be there since this export counted as lost.

        The open file keeps its inode from being given to another one.
        """
        try:
            return os.path.samestat(os.fstat(self.file.fileno()), self.target.stat())
        except (OSError, ValueError):
            return False

    def get_temp_paths(self) -> list[Path]:
        """Return also where the file is copied to from another file system."""
        return [*super().get_temp_paths(), self.target.with_name(f".{self.temp_name}{TEMP_SUFFIX}")]

    def remove_remains(self, *, may_be_saved: bool, has_own_name: bool) -> None:
        """Remove the saved file too, if it surely is that of the killed process."""
        is_ours = has_own_name or any(map(self._is_target, self.get_temp_paths()))
        super().remove_remains(may_be_saved=may_be_saved and is_ours, has_own_name=has_own_name)

    def _is_target(self, path: Path) -> bool:
        return path.exists() and self.target.exists() and path.samefile(self.target)

    def check_name(self) -> None:
        """Leave it to ``save()``, which cannot be overtaken."""

    def save(self) -> None:
        self._make_folder(self.target.parent)
        self._set_permissions()
        try:
            self._move()
        except FileExistsError as error:
            raise make_exists_error(self.name) from error

    def _move(self) -> None:
        try:
            os.link(self.temp_path, self.target)
        except OSError as error:
            if error.errno != errno.EXDEV and not _has_no_links(error):
                raise
            self._copy_near()
            self._move_near()

    def _copy_near(self) -> None:
        """Bring the temporary file into the target's folder, and so onto its file system."""
        distant, self.temp_path = self.get_temp_paths()
        shutil.copy2(distant, self.temp_path)
        distant.unlink()
        self.file.close()
        self.file = self.temp_path.open("rb")

    def _move_near(self) -> None:
        try:
            os.link(self.temp_path, self.target)
        except OSError as error:
            if not _has_no_links(error):
                raise
            # Take the name by an empty file, and then replace that one and no other.
            os.close(os.open(self.target, os.O_CREAT | os.O_EXCL))
            try:
                os.replace(self.temp_path, self.target)
            except BaseException:
                self.target.unlink()
                raise

    def _make_folder(self, folder: Path) -> None:
        """Create the folder and its parents with the storage's permissions."""
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        mode = self.storage.directory_permissions_mode
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            if mode is not None:
                path.chmod(mode)

    def _set_permissions(self) -> None:
        """Give the file the mode and the group that the storage gives its files."""
        if (mode := self.storage.file_permissions_mode) is not None:
            self.temp_path.chmod(mode)
        group = os.stat(self.storage.location).st_gid
        if os.name == "posix" and self.temp_path.stat().st_gid != group:
            with suppress(PermissionError):
                os.chown(self.temp_path, -1, group)


def _has_no_links(error: OSError) -> bool:
    """Tell whether the file system knows no hard links, as exFAT and some network shares."""
    return error.errno in {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}

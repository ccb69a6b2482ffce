from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.core.files.storage import FileSystemStorage

from django_infra.exporter.conf import conf
from django_infra.exporter.delivery.base import (
    PRIVATE,
    TEMP_SUFFIX,
    CheckedFile,
    Delivery,
    create_private_file,
    make_exists_error,
    reopen,
)
from django_infra.exporter.delivery.durability import sync_file, sync_folder
from django_infra.exporter.delivery.facts import Facts, make_facts
from django_infra.exporter.exceptions import ExportInterrupted, UnfinishedFileReplaced

COPY_SIZE = 1 << 20  # bytes


class FileSystemDelivery(Delivery):
    """Move the file into Django's FileSystemStorage.

    ``FileSystemStorage.save()`` looks whether the name is free and then renames, so that of two
    files one replaces the other. A hard link is made only if the name is free.
    """

    storage: FileSystemStorage

    # Some file systems number their files anew each time.
    has_lasting_inodes = True

    @property
    def target(self) -> Path:
        return Path(self.storage.path(self.name))

    def prepare(self) -> None:
        parent = next(path for path in self.target.parents if path.exists())
        if not parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(parent))
        if not os.access(parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(parent))
        self._make_folder(Path(self.get_temp_dir()))

    def get_temp_dir(self) -> str:
        """Return the storage's root, or the target's folder if that root may not be written to."""
        if conf.temp_dir:
            return conf.temp_dir
        root = Path(self.storage.location)
        is_usable = not root.exists() or os.access(root, os.W_OK | os.X_OK)
        return str(root if is_usable else self.target.parent)

    def has_delivered(self) -> bool:
        """Tell whether it is our file: another may be there since this export counted as lost.

        The open file keeps its inode from being given to another one.
        """
        try:
            return self._is_ours(self.target)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return False
        except OSError:
            # The disk does not tell any more, and it may be there.
            return self.is_staged

    def get_temp_paths(self) -> list[Path]:
        """Return also where the file is in the folder of its target, just before it is saved."""
        near = self.target.with_name(f".{self.temp_name}{TEMP_SUFFIX}")
        if conf.temp_dir:
            return [*super().get_temp_paths(), near]
        # In a folder of the storage it is hidden.
        return [Path(self.get_temp_dir(), near.name), near]

    def remove_remains(
        self,
        *,
        may_be_saved: bool,
        has_own_name: bool,
        facts: Mapping[str, Any],
        max_size: int | None = None,
    ) -> None:
        """Remove the saved file too, if it surely is that of the killed process."""
        is_known = has_own_name or bool(facts) or any(map(self._is_target, self.temp_paths))
        super().remove_remains(
            may_be_saved=may_be_saved and is_known,
            has_own_name=has_own_name,
            facts=facts,
            max_size=max_size,
        )

    def get_stored_name(self, path: Path) -> str | None:
        root = Path(self.storage.location)
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else None

    def _is_target(self, path: Path) -> bool:
        """Tell whether both are names of one regular file: no link of somebody else's."""
        try:
            found = path.lstat()
            return stat.S_ISREG(found.st_mode) and os.path.samestat(found, self.target.lstat())
        except OSError:
            return False

    def find_facts(self) -> Facts:
        """Return those of our own file, whatever is there under its name."""
        facts = make_facts(os.fstat(self.file.fileno()))
        return facts if self.has_lasting_inodes else {"size": facts["size"]}

    def check_name(self) -> None:
        """Leave it to ``save()``, which cannot be overtaken."""

    def stage(self) -> None:
        """Bring the file into the folder of its target, where it is known by its inode."""
        super().stage()
        # From here on all is written where the storage is.
        self.is_saving = True
        self._make_folder(self.target.parent)
        with self._noticing_recovery():
            self._bring_near()
        # Before it has its name, so that no crash of the host leaves a half file there.
        sync_file(self.file.fileno())
        self.facts = make_facts(os.fstat(self.file.fileno()))

    def save(self) -> None:
        """Save in an order that leaves a killed export's file unreadable for others.

        Staged, it has lost its name outside of the target's folder.

        1. It gets its name, if that is free.
        2. It gets the mode that the storage gives its files.
        3. It loses all other names, of which no row would know after the success.
        4. Its name and mode are on the disk.
        """
        try:
            with self._noticing_recovery():
                self._move()
        except FileExistsError as error:
            raise make_exists_error(self.name) from error
        self.facts = self.find_facts()
        self._set_permissions()
        self.shed_temp_files()
        sync_file(self.file.fileno())
        sync_folder(self.target.parent)

    @contextmanager
    def _noticing_recovery(self) -> Iterator[None]:
        """Raise ExportInterrupted if the temporary file is gone: this export counted as lost."""
        try:
            yield
        except FileNotFoundError as error:
            if os.path.lexists(self.temp_path):
                raise
            raise ExportInterrupted(
                f"The unfinished file {str(self.temp_path)!r} is gone: a recovery took the export "
                "for lost, or somebody else has removed it."
            ) from error

    def _bring_near(self) -> None:
        """Move the temporary file into the folder of its target, and so onto its file system."""
        distant, near = self.temp_paths
        # Windows moves no file that is open, and has no modes.
        if distant == near or os.name == "nt":
            return
        try:
            distant.rename(near)
        except OSError as error:
            if error.errno == errno.EXDEV:
                self._copy(near)
                distant.unlink(missing_ok=True)
            elif not self._has_become(near, error):
                raise
        self.temp_path = near
        self._check_own(distant)

    def _has_become(self, path: Path, error: OSError) -> bool:
        """Tell whether the file has the name although the system says otherwise.

        NFS sends what was not answered once more, and gets the answer that it was done before.
        """
        if not isinstance(error, FileExistsError | FileNotFoundError):
            return False
        try:
            return self._is_ours(path)
        except OSError:
            return False

    def _is_ours(self, path: Path) -> bool:
        return os.path.samestat(os.fstat(self.file.fileno()), path.lstat())

    def _check_own(self, written: Path) -> None:
        """Raise UnfinishedFileReplaced unless the temporary file has the one name that it needs."""
        ours = os.fstat(self.file.fileno())
        if not os.path.samestat(ours, self.temp_path.lstat()) or ours.st_nlink > 1:
            raise UnfinishedFileReplaced(
                f"Somebody has replaced or linked the unfinished file {str(written)!r}. Make its "
                "folder, which EXPORTER_TEMP_DIR may name, one in which others may not do that."
            )

    def _copy(self, path: Path) -> None:
        copy = create_private_file(path)
        try:
            self.file.seek(0)
            content = CheckedFile(self.file, name=self.name, check=self.check)
            shutil.copyfileobj(content, copy, COPY_SIZE)
            self.file.close()
        except BaseException:
            with suppress(OSError):
                copy.close()
            raise
        self.file = reopen(copy)

    def _move(self) -> None:
        try:
            os.link(self.temp_path, self.target)
        except OSError as error:
            if self._has_become(self.target, error):
                return
            if not _has_no_links(error):
                raise
            self.has_lasting_inodes = False
            # Take the name by an empty file, and then replace that one and no other.
            os.close(os.open(self.target, os.O_CREAT | os.O_EXCL, mode=PRIVATE))
            self._replace()

    def _replace(self) -> None:
        """Put the file in the place of the empty one that has taken its name."""
        try:
            os.replace(self.temp_path, self.target)
        except BaseException as error:
            if not (isinstance(error, OSError) and self._has_become(self.target, error)):
                # The empty file has no facts of ours.
                self.facts = {}
                self.withdraw(self.name)
                raise
        self.temp_path = self.target

    def _make_folder(self, folder: Path) -> None:
        """Create the folder and its parents with the storage's permissions."""
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        mode = self.storage.directory_permissions_mode
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            if mode is not None:
                path.chmod(mode)
            sync_folder(path.parent)

    def _set_permissions(self) -> None:
        """Give the file the group and the mode that the storage gives its files."""
        group = os.stat(self.storage.location).st_gid
        if os.name == "posix" and os.fstat(self.file.fileno()).st_gid != group:
            with suppress(PermissionError):
                os.fchown(self.file.fileno(), -1, group)
        if (mode := self.storage.file_permissions_mode) is not None:
            self._set_mode(mode)

    def _set_mode(self, mode: int) -> None:
        """Change the mode of our own file, whatever is there under its name."""
        by_descriptor = os.chmod in os.supports_fd
        os.chmod(self.file.fileno() if by_descriptor else self.temp_path, mode)


def _has_no_links(error: OSError) -> bool:
    """Tell whether the file system knows no hard links, as exFAT and some network shares."""
    return error.errno in {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}

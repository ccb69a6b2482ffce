from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from django.core.files import File
from django.core.files.storage import Storage

from django_infra.exporter.conf import conf
from django_infra.exporter.delivery.facts import Facts, is_same, read_facts
from django_infra.exporter.exceptions import FileAlreadyExists

logger = logging.getLogger(__name__)

TEMP_SUFFIX = ".part"
PRIVATE = 0o600  # the mode of a file that is not saved yet


class CheckedFile(File):  # type: ignore[type-arg]  # no generic at run time
    """A file whose reader is stopped by the error that ``check()`` raises."""

    def __init__(self, file: BinaryIO, *, name: str, check: Callable[[], None]) -> None:
        super().__init__(file, name=name)
        self.content = file
        self.check = check

    def read(self, size: int = -1) -> bytes:
        self.check()
        return self.content.read(size)

    def readinto(self, buffer: bytearray) -> int:
        self.check()
        size: int = self.content.readinto(buffer)  # type: ignore[attr-defined]  # files have it
        return size


class Delivery:
    """Collect an export in a temporary file and save it in the storage under exactly its name.

    Leaving the block removes the temporary file, and the saved one unless ``may_stay()``. If that
    is None, which is that nobody knows, both stay for the recovery to judge. ``check()`` raises if
    the file is not wanted any more while the storage reads it, and ``is_taken_over()`` tells
    whether somebody else has saved a file under the name, in a storage that overwrites.
    """

    def __init__(
        self,
        storage: Storage,
        name: str,
        *,
        temp_name: str,
        may_stay: Callable[[], bool | None] = lambda: False,
        check: Callable[[], None] = lambda: None,
        is_taken_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self.storage = storage
        self.name = name
        self.temp_name = temp_name
        self.may_stay = may_stay
        self.check = check
        self.is_taken_over = is_taken_over
        self.is_saving = False
        self.is_delivered = False
        self.facts: Facts = {}
        self.file: BinaryIO

    def __enter__(self) -> Self:
        self.prepare()
        self.temp_path = self.get_temp_paths()[0]
        try:
            self.file = create_private_file(self.temp_path)
            return self
        except BaseException:
            self.remove_temp_files()
            raise

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        fate: bool | None = False
        try:
            if self.has_delivered():
                fate = self.may_stay()
                if fate is False:
                    self.withdraw(self.name)
        finally:
            # On a full disk, closing writes again and fails again.
            with suppress(OSError):
                self.file.close()
            # By its second name the recovery will know that the saved file is ours.
            if fate is not None:
                self.remove_temp_files()

    def restart(self) -> None:
        """Empty the temporary file."""
        self.file.seek(0)
        self.file.truncate()

    def compute_checksum(self) -> str:
        """Return the SHA-256 of what is in the temporary file, in hexadecimal."""
        self.file.flush()
        # Not by its path, which a recovery may have taken away.
        with open(self.file.fileno(), "rb", buffering=0, closefd=False) as file:
            file.seek(0)
            content = CheckedFile(file, name=self.name, check=self.check)
            checksum = hashlib.file_digest(content, "sha256").hexdigest()
        self.file.seek(0, os.SEEK_END)
        return checksum

    def deliver(self) -> int:
        """Save the file and return its size in bytes.

        Raises FileAlreadyExists, and leaves the file that is there as it is.
        """
        self.file = reopen(self.file)
        # Before the storage may close it.
        size = os.fstat(self.file.fileno()).st_size
        self.is_saving = True
        self.save()
        return size

    def find_facts(self) -> Facts:
        """Return what the storage tells of the file that was saved, to know it again."""
        try:
            self.facts = read_facts(self.storage, self.name)
        except Exception:
            logger.warning("%r tells nothing of %r.", self.storage, self.name, exc_info=True)
        return self.facts

    def prepare(self) -> None:
        """Raise OSError if it is plain already that the file cannot be saved."""

    def get_temp_dir(self) -> str:
        return conf.temp_dir or tempfile.gettempdir()

    def get_temp_paths(self) -> list[Path]:
        """Return where the temporary file is, the first being where it begins."""
        return [Path(self.get_temp_dir(), f"{self.temp_name}{TEMP_SUFFIX}")]

    def remove_temp_files(self) -> None:
        for path in self.get_temp_paths():
            path.unlink(missing_ok=True)

    def has_delivered(self) -> bool:
        """Tell whether the storage holds the file, and holds it from us."""
        return self.is_delivered

    def remove_remains(self, *, may_be_saved: bool, has_own_name: bool) -> None:
        """Remove what a process left that was killed within the block.

        ``has_own_name`` says that no stranger saves a file under the name.
        """
        if may_be_saved:
            self.storage.delete(self.name)
        self.remove_temp_files()

    def withdraw(self, name: str) -> None:
        """Delete from the storage, or log that this failed: another error is on its way."""
        try:
            if not self.is_taken_over() and is_same(self.storage, name, self.facts):
                self.storage.delete(name)
        except Exception:
            logger.exception("Could not delete %r from %r.", name, self.storage)

    def check_name(self) -> None:
        """Raise FileAlreadyExists if a stranger has taken the name since somebody asked.

        Among exports it is reserved.
        """
        if self.storage.exists(self.name):
            raise make_exists_error(self.name)

    def save(self) -> None:
        """Save the temporary file by the storage's own means."""
        try:
            content = CheckedFile(self.file, name=self.name, check=self.check)
            saved_name = self.storage.save(self.name, content)
            self.is_delivered = saved_name == self.name
        except FileExistsError as error:
            raise make_exists_error(self.name) from error
        except BaseException:
            # Storages may leave what they had written by then, as Django's own do.
            self.withdraw(self.name)
            raise
        if not self.is_delivered:
            self.withdraw(saved_name)
            raise make_exists_error(self.name)


def create_private_file(path: Path) -> BinaryIO:
    """Create the file, for its owner alone; raise FileExistsError for a link too."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    return os.fdopen(os.open(path, flags, mode=PRIVATE), "wb")


def reopen(file: BinaryIO) -> BinaryIO:
    """Close the file that was written, and return the same to be read from its start.

    Somebody else may have put another file in the place of its name.
    """
    descriptor = os.dup(file.fileno())
    try:
        # Some file systems tell only now that the disk is full.
        file.close()
        os.lseek(descriptor, 0, os.SEEK_SET)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def delete_if_there(storage: Storage, name: str) -> None:
    """Delete the file; it is no error that somebody has done so before."""
    try:
        storage.delete(name)
    except Exception:
        # Some storages complain.
        if storage.exists(name):
            raise


def make_exists_error(name: str) -> FileAlreadyExists:
    return FileAlreadyExists(
        f"File already exists: {name!r} is in the storage, and is not overwritten. "
        "Delete it first, or choose another file_path."
    )

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from django.core.files import File
from django.core.files.storage import Storage
from django.utils import timezone

from django_infra.exporter.conf import conf
from django_infra.exporter.delivery.durability import sync_saved
from django_infra.exporter.delivery.facts import MAX_SIZE, Facts, is_same, may_be_same, read_facts
from django_infra.exporter.delivery.uploads import find_uploads, may_need_parts
from django_infra.exporter.exceptions import FileAlreadyExists

logger = logging.getLogger(__name__)

TEMP_SUFFIX = ".part"
PRIVATE = 0o600  # the mode of a file that is not saved yet


@dataclass(frozen=True)
class Left:
    """What may lie in the storage and could not be deleted.

    ``max_size`` is that of the whole file, of which a part may be there.
    """

    name: str
    upload_id: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    max_size: int | None = None


def forget(left: Left) -> None:
    """Leave it at what is logged."""


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
    whether somebody else has saved a file under the name, in a storage that overwrites. Uploads
    that have begun under it before ``began_at`` are of others. ``remember()`` gets what could not
    be deleted.
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
        began_at: datetime | None = None,
        remember: Callable[[Left], None] = forget,
    ) -> None:
        self.storage = storage
        self.name = name
        self.temp_name = temp_name
        self.may_stay = may_stay
        self.check = check
        self.is_taken_over = is_taken_over
        self.began_at = began_at
        self.remember = remember
        self.size = 0
        self.is_saving = False
        self.is_delivered = False
        self.facts: Facts = {}
        self.file: BinaryIO

    def __enter__(self) -> Self:
        self.prepare()
        self.temp_path = self.temp_paths[0]
        self.is_staged = False
        try:
            self.file = create_private_file(self.temp_path)
            return self
        except BaseException:
            self.try_to_remove_temp_files()
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
            # The recovery will judge what nobody knows of.
            if fate is not None:
                self.try_to_remove_temp_files()

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

    def stage(self) -> None:
        """Make the temporary file ready to be saved.

        What ``facts`` holds after it is known of the saved file before there is one.
        """
        self.file = reopen(self.file)
        self.is_staged = True

    def get_size_fact(self) -> Facts:
        """Return what is known of the saved file where its storage tells nothing beforehand."""
        return {MAX_SIZE: os.fstat(self.file.fileno()).st_size}

    def deliver(self) -> int:
        """Save the file and return its size in bytes.

        Raises FileAlreadyExists, and leaves the file that is there as it is.
        """
        if not self.is_staged:
            self.stage()
        # Before the storage may close it.
        self.size = os.fstat(self.file.fileno()).st_size
        self.is_saving = True
        self.save()
        return self.size

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

    @cached_property
    def temp_paths(self) -> list[Path]:
        """Those of ``get_temp_paths()``, for which a disk that fails cannot be asked any more."""
        return self.get_temp_paths()

    def remove_temp_files(self) -> None:
        for path in self.temp_paths:
            path.unlink(missing_ok=True)

    def try_to_remove_temp_files(self) -> None:
        """Remove each, or remember it: the export has succeeded, or failed, by now."""
        for path in self.temp_paths:
            try:
                path.unlink(missing_ok=True)
            except OSError:
                logger.exception("Could not remove the unfinished file %r.", str(path))
                # A recovery looks at what is in the folder of unfinished files.
                if (name := self.get_stored_name(path)) is not None:
                    self.remember(Left(name))

    def shed_temp_files(self) -> None:
        """Remove them as soon as the file is saved: after the success no row knows of them."""
        # Windows removes no file that is open; leaving the block does.
        if os.name != "nt":
            self.try_to_remove_temp_files()

    def get_stored_name(self, path: Path) -> str | None:
        """Return the name that the path has in the storage, if it has one."""
        return None

    def has_delivered(self) -> bool:
        """Tell whether the storage holds the file, and holds it from us."""
        return self.is_delivered

    def remove_remains(
        self,
        *,
        may_be_saved: bool,
        has_own_name: bool,
        facts: Mapping[str, Any],
        max_size: int | None = None,
    ) -> None:
        """Remove what a process left that was killed within the block.

        ``has_own_name`` says that no stranger saves a file under the name, and ``facts`` what was
        known of the file when it was staged. Where nothing was known, ``max_size`` is its size in
        bytes.
        """
        self.facts = {} if has_own_name else dict(facts)
        self.size = max_size or 0
        if may_be_saved:
            self.abort_uploads()
            self.withdraw(self.name)
        self.try_to_remove_temp_files()

    def abort_uploads(self) -> None:
        """Abort those that are open under the name, or remember them.

        They are of a save that has failed, or of requests whose answers were lost.
        """
        try:
            uploads = find_uploads(self.storage, self.name, since=self.began_at)
            # Asked after the look, so that none of them is of somebody else.
            if not uploads or self.is_taken_over():
                return
        except Exception:
            logger.exception("Could not look for open uploads of %r.", self.name)
            self._remember(self.name)
            return
        for upload in uploads:
            try:
                upload.abort()
            except Exception:
                logger.exception("Could not abort the upload %s of %r.", upload.id, upload.key)
                self._remember(self.name, upload_id=upload.id)

    def withdraw(self, name: str) -> None:
        """Delete from the storage, or remember what may be there: another error is on its way."""
        try:
            if not self.is_taken_over() and self._may_be_ours(name):
                delete_if_there(self.storage, name)
        except Exception:
            logger.exception("Could not delete %r from %r.", name, self.storage)
            self._remember(name)

    def _may_be_ours(self, name: str) -> bool:
        """Tell whether what has the name may be what this export has saved, or a part of it."""
        if self.began_at is None:
            # Nobody else saves anything under the name.
            return is_same(self.storage, name, self.facts)
        return may_be_same(
            self.storage,
            name,
            self.facts,
            max_size=self.size or None,
            saved_by=timezone.now(),
        )

    def _remember(self, name: str, *, upload_id: str = "") -> None:
        facts = self.facts
        try:
            # What a stranger has saved meanwhile must not be taken for ours later.
            if not facts and self._may_be_ours(name):
                facts = read_facts(self.storage, name)
        except Exception:
            logger.debug("%r tells nothing of %r.", self.storage, name, exc_info=True)
        self.remember(Left(name, upload_id, facts, self.size or None))

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
            self.abort_uploads()
            self.withdraw(self.name)
            raise
        if not self.is_delivered:
            self.withdraw(saved_name)
            raise make_exists_error(self.name)
        self.shed_temp_files()
        sync_saved(self.storage, self.name)
        if may_need_parts(self.storage, self.size):
            self.abort_uploads()


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
    except FileNotFoundError:
        return
    except OSError:
        # exists() takes a disk that cannot be read for one without the file.
        raise
    except Exception:
        # Some storages complain.
        if storage.exists(name):
            raise


def make_barred_error(storage_alias: str, name: str) -> FileAlreadyExists:
    return FileAlreadyExists(
        f"File already exists: what an export may have left as {name!r} in storage "
        f"{storage_alias!r} could not be deleted yet. prune_exports tries again; or choose another "
        "file_path."
    )


def make_exists_error(name: str) -> FileAlreadyExists:
    return FileAlreadyExists(
        f"File already exists: {name!r} is in the storage, and is not overwritten. "
        "Delete it first, or choose another file_path."
    )

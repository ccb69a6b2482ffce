"""Storages that go wrong in one way each, or that save in a way of their own."""

from __future__ import annotations

import errno
import time
from types import SimpleNamespace

from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage, Storage


class RenamingStorage(InMemoryStorage):
    """Give every file another name than the one asked for."""

    def get_available_name(self, name, max_length=None):
        return f"{name}.1"


class BreakingStorage(InMemoryStorage):
    """Keep half of the file under its final name, and raise."""

    def _save(self, name, content):
        super()._save(name, ContentFile(content.read(content.size // 2)))
        raise ConnectionError("The line went dead.")


class StickyStorage(BreakingStorage):
    """Break as well when the half file is to be deleted."""

    def delete(self, name):
        raise ConnectionError("The line is still dead.")


class DyingStorage(FileSystemStorage):
    """Write in place, and fail at what ``failing`` names, for which a save may be the beginning."""

    failing = frozenset()
    dies_of_save = frozenset()

    def _save(self, name, content):
        if self.dies_of_save:
            super()._save(name, ContentFile(content.read(content.size // 2)))
            type(self).failing = self.dies_of_save
            raise OSError(errno.EIO, "Input/output error")
        return super()._save(name, content)

    def delete(self, name):
        self.fail_at("delete")
        super().delete(name)

    def exists(self, name):
        self.fail_at("exists")
        return super().exists(name)

    def size(self, name):
        self.fail_at("size")
        return super().size(name)

    def path(self, name):
        self.fail_at("path")
        return super().path(name)

    def fail_at(self, method):
        if method in self.failing:
            raise OSError(errno.EIO, "Input/output error")


class ExactingStorage(FileSystemStorage):
    """Break when a file that is not there, or whose name says so, is to be deleted."""

    def delete(self, name):
        if "stuck" in name:
            raise ConnectionError("The line is dead.")
        if not self.exists(name):
            raise LookupError(f"There is no {name!r}.")
        super().delete(name)


class BlindStorage(FileSystemStorage):
    """Know no folders."""

    def listdir(self, path):
        return Storage.listdir(self, path)


class TimelessStorage(FileSystemStorage):
    """Know not when a file was saved."""

    def get_modified_time(self, name):
        return Storage.get_modified_time(self, name)


class SilentStorage(InMemoryStorage):
    """Tell nothing of a file but whether it is there."""

    size = Storage.size
    get_modified_time = Storage.get_modified_time


class ForgetfulStorage(InMemoryStorage):
    """Break when asked for the size of a file."""

    def size(self, name):
        raise ConnectionError("The line is dead.")


class GenerationStorage(InMemoryStorage):
    """Number what is saved under a name, as Google's does."""

    iam_sign_blob = False
    generation = 1

    def _open(self, name, mode="rb"):
        file = super()._open(name, mode)
        file.blob = SimpleNamespace(generation=self.generation)
        return file


class InvertingStorage(FileSystemStorage):
    """Keep each byte inverted, as a storage that encrypts would."""

    def _save(self, name, content):
        return super()._save(name, ContentFile(invert(content.read())))

    def _open(self, name, mode="rb"):
        with super()._open(name, mode) as file:
            return ContentFile(invert(file.read()), name)


class DjangosOwnStorage(FileSystemStorage):
    """Save in Django's way, which leaves what it has written when it fails."""

    def _save(self, name, content):
        return super()._save(name, content)


class SlowStorage(FileSystemStorage):
    """Take a second to save, and say so."""

    def _save(self, name, content):
        time.sleep(1)
        return super()._save(name, content)


def invert(content):
    return bytes(byte ^ 0xFF for byte in content)

"""Check what a file may be called, in any storage."""

from __future__ import annotations

import hashlib
import os
import posixpath
import unicodedata

from django_infra.exporter.exceptions import InvalidFilePath

MAX_PATH_LENGTH = 512  # characters: the length of QueryExport.file
MAX_ID_LENGTH = 100  # characters: the length of QueryExport.id
MAX_NAME_LENGTH = 100  # characters: the length of QueryExport.name
MAX_COMPONENT_BYTES = 255  # of common file systems (NAME_MAX)

# 32 bits of a random token: enough to tell the few attempts of one export apart.
ATTEMPT_TOKEN_LENGTH = 8

# Windows refuses these, and shells and S3 consoles trip over them.
_FORBIDDEN_CHARACTERS = frozenset('\\:*?"<>|')
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_DEVICE_NAMES = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    | {f"{device}{port}" for device in ("COM", "LPT") for port in "123456789¹²³"}
)


def clean_path(path: str | os.PathLike[str], *, source: str = "file_path") -> str:
    """Return the path as a relative one with forward slashes.

    Raises InvalidFilePath for a path that could leave the storage's folder, that a file system
    or an object store would refuse or change, or that exceeds ``QueryExport.file``. ``source``
    says in the error where the path was set.
    """
    if isinstance(path, os.PathLike):
        path = os.fspath(path)
    if not isinstance(path, str):
        raise InvalidFilePath(f"{source} must be a str or a path, not {path!r}.")
    if reason := find_fault(path):
        shown = repr(path) if len(path) <= 80 else f"{path[:80]!r}…"
        raise InvalidFilePath(
            f"Invalid {source} {shown}: {reason}. Give a path relative to the storage's "
            "root, such as 'reports/2026/users.csv'."
        )
    return path


def make_attempt_path(path: str, *, attempt: int, token: str) -> str:
    """Return the path for an attempt: each after the first has one of its own.

    So one that stalls and wakes up later cannot touch the file of its successor.
    """
    if attempt == 1:
        return path
    folder, name = posixpath.split(path)
    stem, extension = posixpath.splitext(name)
    suffix = f"-{attempt}-{token[:ATTEMPT_TOKEN_LENGTH]}{extension}"
    # What is too long loses its innermost folders first, and then the end of its name.
    while len(folder) + len(suffix) + 1 > MAX_PATH_LENGTH:
        folder = posixpath.dirname(folder)
    while (
        len((stem + suffix).encode()) > MAX_COMPONENT_BYTES
        or len(folder) + len(stem + suffix) + 1 > MAX_PATH_LENGTH
    ):
        stem = stem[:-1]
    return posixpath.join(folder, stem + suffix)


def make_path_key(storage_alias: str, path: str) -> str:
    """Return what stands for a path in a unique index; MariaDB cannot index a whole path."""
    return hashlib.sha256(f"{storage_alias}\0{path}".encode()).hexdigest()


def find_fault(path: str) -> str | None:
    """Return what is wrong with the path, if anything is."""
    if not path:
        return "it is empty"
    if path.startswith("/"):
        return "it is absolute"
    if len(path) > MAX_PATH_LENGTH:
        return f"it has {len(path)} characters, and {MAX_PATH_LENGTH} are allowed"
    for character in path:
        if character in _FORBIDDEN_CHARACTERS:
            return f"it contains {character!r}"
        if unicodedata.category(character) in _FORBIDDEN_CATEGORIES:
            return f"it contains the control character, line break or surrogate {character!r}"
    for name in path.split(posixpath.sep):
        if name in {"", ".", ".."}:
            return f"it contains the component {name!r}"
        if len(name.encode()) > MAX_COMPONENT_BYTES:
            return f"a component has over {MAX_COMPONENT_BYTES} bytes in UTF-8"
        # Windows drops these at the end, and finds the file of another name.
        if name != name.strip(" ") or name.endswith("."):
            return f"the component {name!r} starts or ends with a space, or ends with a dot"
        if name.partition(".")[0].rstrip(" ").upper() in _DEVICE_NAMES:
            return f"{name!r} is a device on Windows"
    return None

"""Know a saved file again by what its storage told when it was saved."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from django.core.files import File
from django.core.files.storage import FileSystemStorage, Storage

Facts = dict[str, Any]

MAX_SIZE = "max_size"  # the fact that a saved file has at most so many bytes

CLOCK_TOLERANCE = timedelta(minutes=1)  # of a storage's clock


def read_facts(storage: Storage, name: str, file: File[Any] | None = None) -> Facts:
    """Return what the storage tells of the file that another one in its place would not have.

    Of a file that is open it is told of that one. Raises FileNotFoundError, or what the storage
    raises instead.
    """
    if isinstance(storage, FileSystemStorage):
        return make_facts(_read_status(storage, name, file))
    # Those of django-storages are known by their attributes, as where they sign URLs.
    if hasattr(storage, "cloudfront_signer"):
        return _read_object(storage, name)
    facts = _tell(
        size=lambda: storage.size(name),
        modified=lambda: _count_microseconds(storage.get_modified_time(name)),
    )
    if hasattr(storage, "iam_sign_blob"):
        with storage.open(name) as opened:
            # The time changes with each access right that is given.
            facts["modified"] = None
            facts["generation"] = getattr(getattr(opened, "blob", None), "generation", None)
    return _drop_unknown(facts)


def split_facts(facts: Mapping[str, Any]) -> tuple[Facts, int | None]:
    """Return the facts by which a file is known, and the size that it has at most."""
    known = dict(facts)
    return known, known.pop(MAX_SIZE, None)


def make_facts(found: os.stat_result) -> Facts:
    """Return those of a file on a file system."""
    return {"size": found.st_size, "inode": found.st_ino, "modified": found.st_mtime_ns}


def is_same(
    storage: Storage, name: str, facts: Mapping[str, Any], file: File[Any] | None = None
) -> bool:
    """Tell whether the file is still there as it was saved, as far as the storage has told.

    Raises what the storage raises if it does not know.
    """
    if not facts:
        return True
    found = _ask(storage, name, lambda: read_facts(storage, name, file))
    return found is not None and all(found.get(key) == value for key, value in facts.items())


def may_be_same(
    storage: Storage,
    name: str,
    facts: Mapping[str, Any],
    *,
    max_size: int | None,
    saved_by: datetime,
) -> bool:
    """Tell whether the file may be the one that was saved, or a part of it.

    Where the storage has told no facts, a larger file and a later one are of somebody else.
    Raises what the storage raises if it does not know.
    """
    if facts:
        return is_same(storage, name, facts)
    found = _ask(
        storage,
        name,
        lambda: _tell(
            size=lambda: storage.size(name), modified=lambda: storage.get_modified_time(name)
        ),
    )
    if found is None:
        return False
    size, modified = found.get("size"), found.get("modified")
    if size is not None and max_size is not None and size > max_size:
        return False
    if modified is None:
        return True
    is_later = modified.timestamp() > (saved_by + CLOCK_TOLERANCE).timestamp()
    return not is_later


def _ask(storage: Storage, name: str, ask: Callable[[], Facts]) -> Facts | None:
    """Return what the storage answers, or None if it has no such file.

    Raises what the storage raises if it does not know.
    """
    try:
        return ask()
    except FileNotFoundError:
        return None
    except OSError:
        # exists() takes a folder that may not be entered, or a disk that does not answer, for one
        # without the file.
        raise
    except Exception:
        if storage.exists(name):
            raise
        return None


def _read_status(storage: FileSystemStorage, name: str, file: File[Any] | None) -> os.stat_result:
    # What another class has opened may be a copy.
    opens_itself = type(storage)._open is FileSystemStorage._open  # type: ignore[attr-defined]
    if file is not None and opens_itself:
        return os.fstat(file.fileno())
    # Of a link, and not of where it leads.
    return os.lstat(storage.path(name))


def _read_object(storage: Any, name: str) -> Facts:
    with storage.open(name) as file:
        found = getattr(file, "obj", None)
        return _drop_unknown(
            {
                "size": getattr(found, "content_length", None),
                "etag": getattr(found, "e_tag", None),
                "version": getattr(found, "version_id", None),
            }
        )


def _tell(**questions: Callable[[], Any]) -> Facts:
    """Ask the storage, which need not know an answer."""
    facts = {}
    for key, ask in questions.items():
        with suppress(NotImplementedError):
            facts[key] = ask()
    return facts


def _count_microseconds(moment: datetime) -> int:
    # A naive one and an aware one of the same moment are alike.
    return round(moment.timestamp() * 1_000_000)


def _drop_unknown(facts: Facts) -> Facts:
    return {key: value for key, value in facts.items() if value is not None}

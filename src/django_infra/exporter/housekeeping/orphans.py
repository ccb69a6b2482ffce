"""Files that no row refers to, below the prefix that the paths of exports have."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import islice
from typing import NoReturn

from django.core.files.storage import Storage, storages
from django.db import connections, router
from django.utils import timezone

from django_infra.exporter.conf import conf
from django_infra.exporter.delivery.facts import is_same
from django_infra.exporter.delivery.paths import find_fault
from django_infra.exporter.exceptions import InvalidSetting
from django_infra.exporter.housekeeping.leftovers import TEMP_NAME
from django_infra.exporter.models import QueryExport

BATCH_SIZE = 400  # names: each is asked for twice, and SQLite takes 999 parameters


def find_orphans(*, on_error: Callable[[str, Exception], None]) -> Iterator[str]:
    """Yield the names of the files in EXPORTER_STORAGE that no row in any database refers to.

    One that has taken the place of an export's own is somebody else's, and none. ``on_error`` gets
    the name of a folder that could not be listed, or of a file that could not be looked at.
    """
    prefix = conf.path_prefix
    if posixpath.sep not in prefix:
        raise InvalidSetting(
            f"EXPORTER_PATH_PREFIX is {prefix!r}, but must have a slash to find orphans: all files "
            "of the storage would be below it."
        )
    names = _walk(storages[conf.storage], prefix, on_error)
    while batch := list(islice(names, BATCH_SIZE)):
        known = _find_known(batch) | _find_foreign(batch, on_error)
        yield from (name for name in batch if name not in known)


def remove_orphan(name: str, *, min_age: float, dry_run: bool = False) -> bool:
    """Delete the file if it is still there and was saved so many seconds ago; say whether it was.

    So a file that somebody has saved under the name since it was found is spared.
    """
    storage = storages[conf.storage]
    if not _is_older(storage, name, min_age):
        return False
    if not dry_run:
        storage.delete(name)
    return True


def _walk(
    storage: Storage, prefix: str, on_error: Callable[[str, Exception], None]
) -> Iterator[str]:
    folders = [posixpath.split(prefix)]
    while folders:
        folder, start = folders.pop()
        try:
            subfolders, files = storage.listdir(folder)
        except FileNotFoundError:
            # Nothing was exported yet, or somebody has removed it.
            continue
        except NotImplementedError as error:
            _refuse(storage, error)
        except Exception as error:
            on_error(folder, error)
            continue
        below = _join(folder, start, subfolders)
        folders += [(path, "") for path in below if not _is_link(storage, path)]
        yield from _join(folder, start, files)


def _join(folder: str, start: str, names: Iterable[str]) -> list[str]:
    """Return the paths that an export may have; others lead elsewhere, or are not ours."""
    paths = [posixpath.join(folder, name) for name in names if name.startswith(start)]
    return [path for path in paths if find_fault(path) is None]


def _is_link(storage: Storage, folder: str) -> bool:
    """Tell whether the folder may lie outside of the storage, or of the prefix."""
    try:
        return os.path.islink(storage.path(folder))
    except NotImplementedError:
        return False


def _find_known(names: list[str]) -> set[str]:
    """Return those of the names that a row refers to."""
    attempts = _find_attempts(names)
    known: set[str] = set()
    for using in _get_databases():
        rows = QueryExport.objects.using(using)
        for pair in rows.referring(names).values_list("file", "object_name"):
            known.update(pair)
        exports = rows.in_bulk({id for id, _ in attempts.values()})
        for name, (id, attempt) in attempts.items():
            if id in exports and exports[id].may_work_on(attempt):
                known.add(name)
    return known


def _find_foreign(names: list[str], on_error: Callable[[str, Exception], None]) -> set[str]:
    """Return those of the names under which a row has saved a file, and another one lies now.

    The row says that its own is gone. One that was saved with nothing known of it counts as its.
    """
    storage = storages[conf.storage]
    foreign: set[str] = set()
    for using in _get_databases():
        rows = QueryExport.objects.using(using).succeeded().filter(file="", object_name__in=names)
        for export in rows.only("id", "attempt", "object_name", "file_facts"):
            name = export.object_name
            try:
                if not (export.has_own_name or is_same(storage, name, export.file_facts)):
                    foreign.add(name)
            except Exception as error:
                on_error(name, error)
                foreign.add(name)
    return foreign


def _find_attempts(names: list[str]) -> dict[str, tuple[str, int]]:
    """Return the export and the number of the attempt that each temporary file is of."""
    matches = {name: TEMP_NAME.fullmatch(posixpath.basename(name)) for name in names}
    return {name: (match["id"], int(match["attempt"])) for name, match in matches.items() if match}


def _get_databases() -> Iterator[str]:
    """Yield the databases that have rows of exports: they may share the storage."""
    own = router.db_for_write(QueryExport)
    yield own
    for using in connections:
        if using != own and _has_exports(using):
            yield using


def _has_exports(using: str) -> bool:
    return QueryExport._meta.db_table in connections[using].introspection.table_names()


def _is_older(storage: Storage, name: str, seconds: float) -> bool:
    try:
        saved_at = storage.get_modified_time(name)
    except NotImplementedError as error:
        _refuse(storage, error)
    except Exception:
        if storage.exists(name):
            raise
        # Somebody else was quicker.
        return False
    return saved_at <= timezone.now() - timedelta(seconds=seconds)


def _refuse(storage: Storage, error: NotImplementedError) -> NoReturn:
    raise InvalidSetting(
        f"EXPORTER_STORAGE is {conf.storage!r}, a {type(storage).__qualname__}, which cannot list "
        f"files and tell when they were saved: {error}"
    ) from error

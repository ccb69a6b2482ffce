"""What attempts leave in the storage and in the temporary folder, and who has to delete it."""

from __future__ import annotations

import copy
import logging
import re
import time
from functools import partial
from pathlib import Path
from typing import Any

from django.core.files.storage import Storage, storages
from django.db import Error, router, transaction
from django.db.models import F

from django_infra.exporter.conf import conf
from django_infra.exporter.delivery import (
    TEMP_SUFFIX,
    Left,
    delete_if_there,
    find_upload,
    find_uploads,
    get_delivery,
    split_facts,
)
from django_infra.exporter.models import ExportState, QueryExport
from django_infra.exporter.models.leftover import Leftover, LeftoverQuerySet

logger = logging.getLogger(__name__)

# In a folder of the storage a temporary file is hidden.
TEMP_NAME = re.compile(
    rf"\.?(?P<id>\w+-\d{{14}}-\w{{22}})-(?P<attempt>\d+){re.escape(TEMP_SUFFIX)}"
)
STRANGERS_AGE = 24 * 60 * 60  # seconds: rows may not be visible yet, or in another database


def remove_remains(export: QueryExport) -> bool:
    """Remove what the export's last attempt left, or remember what could not be deleted.

    Says whether nothing is left that only the row knows. An error is logged, for it is not the
    caller's.
    """
    try:
        delivery = get_delivery(
            export.storage,
            export.object_name,
            temp_name=export.temp_name,
            began_at=export.uploads_since,
            remember=export.remember,
        )
        facts, max_size = split_facts(export.file_facts)
        delivery.remove_remains(
            may_be_saved=export.delivery_started_at is not None,
            has_own_name=export.has_own_name,
            facts=facts,
            max_size=max_size,
        )
    except Exception:
        logger.exception("Could not remove what %s left behind.", export.id)
        return False
    return True


def remove_file_of_deleted_row(instance: QueryExport, using: str, **kwargs: Any) -> None:
    """Delete the file of a row once the row is gone for good; an error is logged."""
    if export := _get_deleted(instance, using):
        transaction.on_commit(partial(_remove_file, export), using=using, robust=True)


def _get_deleted(instance: QueryExport, using: str) -> QueryExport | None:
    """Return the row as it is when it is deleted, whatever of it was loaded, and when."""
    if not instance.get_deferred_fields() and instance.has_ended:
        # It stays as it is, except that Django takes the key away.
        return copy.copy(instance)
    rows = QueryExport.objects.using(using).filter(pk=instance.pk)
    # A worker may be about to succeed. On every database a write locks the row.
    rows.update(token=F("token"))
    return rows.first()


def _remove_file(export: QueryExport) -> None:
    if export.state != ExportState.SUCCESS:
        _remove_unfinished(export)
    elif export.file:
        _delete_file(export)
    else:
        return
    remove_leftovers(_get_leftovers(export.database).filter(export_id=export.pk))


def _remove_unfinished(export: QueryExport) -> None:
    """Remove what a worker left; one that is alive notices by itself that it is not wanted."""
    if export.path_key is None:
        return
    if export.has_heir():
        # What is in storage by now is not what this export has saved.
        export.delivery_started_at = None
    if not remove_remains(export) and export.delivery_started_at is not None:
        facts, max_size = split_facts(export.file_facts)
        export.remember(Left(export.object_name, facts=facts, max_size=max_size))


def _delete_file(export: QueryExport) -> None:
    name = str(export.file.name)
    try:
        # In this order: while this file exists nobody else gets its name.
        is_there = export.has_own_name or export.storage.exists(name)
        if is_there and export.has_own_file() and not export.has_heir():
            delete_if_there(export.storage, name)
        export.remove_second_names()
    except Exception:
        logger.exception("Could not delete %r, whose row is gone.", name)
        export.remember(Left(name, facts=export.file_facts, max_size=export.file_size))


def remove_leftovers(leftovers: LeftoverQuerySet, *, limit: int | None = None) -> int:
    """Delete what could not be deleted before, and count what is gone; errors are logged.

    With a limit, by somebody in a hurry, one error says enough about a storage.
    """
    count = 0
    failing = set()
    for leftover in leftovers.idle(conf.lease).order_by("pk")[:limit]:
        if limit is not None and leftover.storage_alias in failing:
            continue
        try:
            count += remove_leftover(leftover)
        except Error:
            raise
        except Exception:
            failing.add(leftover.storage_alias)
            logger.exception(
                "Could not delete what %s has left as %r.", leftover.export_id, leftover.object_name
            )
    return count


def remove_leftover(leftover: Leftover) -> bool:
    """Delete what lies under the name, and give it free; say whether nobody else is at it.

    Raises what the storage raises; nobody gets the name then.
    """
    if not leftover.begin_deletion(lease=conf.lease):
        return False
    try:
        _delete_leftover(leftover)
    except BaseException:
        leftover.put_back()
        raise
    leftover.forget()
    return True


def find_leftovers() -> LeftoverQuerySet:
    """Return all that could not be deleted."""
    return _get_leftovers(router.db_for_write(QueryExport))


def _get_leftovers(using: str) -> LeftoverQuerySet:
    return LeftoverQuerySet(Leftover, using=using)


def _delete_leftover(leftover: Leftover) -> None:
    rows = QueryExport.objects.using(leftover._state.db).having(leftover.object_key)
    if rows.exclude(pk=leftover.export_id).exists():
        # It was saved when the file of this export was gone.
        return
    storage, name = leftover.storage, leftover.object_name
    if leftover.upload_id:
        find_upload(storage, name, leftover.upload_id).abort()
    for upload in find_uploads(storage, name, since=leftover.began_at):
        upload.abort()
    # One that has succeeded has its file, and an upload that nobody needs.
    if not rows.succeeded().exists() and leftover.is_ours():
        delete_if_there(storage, name)


def remove_stray_files() -> int:
    """Remove the temporary files that no attempt is at work on any more, and count them."""
    count = 0
    try:
        files = _find_temp_files(storages[conf.storage])
        using = router.db_for_write(QueryExport)
        rows = QueryExport.objects.using(using).in_bulk({id for _, id, _ in files})
        for path, id, attempt in files:
            if _is_stray(path, rows.get(id), attempt):
                path.unlink(missing_ok=True)
                count += 1
    except PermissionError:
        # A process that only asks for exports need not write where they are made.
        logger.debug("May not look for stray temporary files.", exc_info=True)
    except OSError:
        logger.exception("Could not remove stray temporary files.")
    return count


def _find_temp_files(storage: Storage) -> list[tuple[Path, str, int]]:
    folder = Path(get_delivery(storage, "x", temp_name="x").get_temp_dir())
    found = [(path, TEMP_NAME.fullmatch(path.name)) for path in folder.glob(f"*{TEMP_SUFFIX}")]
    return [(path, match["id"], int(match["attempt"])) for path, match in found if match]


def _is_stray(path: Path, export: QueryExport | None, attempt: int) -> bool:
    if export is None:
        try:
            return path.stat().st_mtime < time.time() - STRANGERS_AGE
        except FileNotFoundError:
            return False
    return not export.may_work_on(attempt)

"""What killed attempts leave in the storage and in the temporary folder."""

from __future__ import annotations

import copy
import logging
import re
import time
from pathlib import Path
from typing import Any

from django.core.files.storage import Storage, storages
from django.db import router, transaction

from django_infra.exporter.conf import conf
from django_infra.exporter.delivery import TEMP_SUFFIX, get_delivery
from django_infra.exporter.models import ExportState, QueryExport

logger = logging.getLogger(__name__)

TEMP_NAME = re.compile(rf"(?P<id>\w+-\d{{14}}-\w{{22}})-(?P<attempt>\d+){re.escape(TEMP_SUFFIX)}")
STRANGERS_AGE = 24 * 60 * 60  # seconds: rows may not be visible yet, or in another database


def remove_remains(export: QueryExport) -> bool:
    """Remove what the export's last attempt left, and say whether that worked.

    An error is logged, for it is not the caller's.
    """
    try:
        delivery = get_delivery(export.storage, export.object_name, temp_name=export.temp_name)
        delivery.remove_remains(
            may_be_saved=export.delivery_started_at is not None,
            has_own_name=export.has_own_name,
        )
    except Exception:
        logger.exception("Could not remove what %s left behind.", export.id)
        return False
    return True


def remove_file_of_deleted_row(instance: QueryExport, using: str, **kwargs: Any) -> None:
    """Delete the file of a row once the row is gone for good; an error is logged."""

    def remove() -> None:
        if instance.state in (ExportState.SCHEDULED, ExportState.PROCESSING):
            # A worker that is alive notices by itself, and a dead one has nobody else.
            remove_remains(instance)
        elif instance.file:
            _delete_file(instance)

    # Django takes the key from the instance before the commit.
    instance = copy.copy(instance)
    transaction.on_commit(remove, using=using, robust=True)


def _delete_file(export: QueryExport) -> None:
    try:
        export.storage.delete(str(export.file.name))
    except Exception:
        logger.exception("Could not delete %r, whose row is gone.", export.file.name)


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
    # A worker may still be about to stop where the path is reserved.
    has_ended = export.path_key is None and export.state in (ExportState.SUCCESS, ExportState.FAIL)
    return has_ended or attempt < export.attempt

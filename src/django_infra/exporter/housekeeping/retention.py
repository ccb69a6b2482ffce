"""How long files and rows are kept, and what is deleted after that."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from django.db import Error, IntegrityError, router

from django_infra.exporter.checks import require_settings
from django_infra.exporter.conf import conf
from django_infra.exporter.exceptions import InvalidSetting
from django_infra.exporter.housekeeping.leftovers import find_leftovers, remove_leftover
from django_infra.exporter.housekeeping.orphans import find_orphans, remove_orphan
from django_infra.exporter.models import QueryExport
from django_infra.exporter.models.query_export import QueryExportQuerySet

logger = logging.getLogger(__name__)

BATCH_SIZE = 500  # rows

Report = Callable[[str], None]


def ignore(name: str) -> None:
    """Report nothing."""


@dataclass
class Tally:
    """How many were deleted, or would be, and how many could not be.

    ``report`` gets the name of each that was.
    """

    report: Report = ignore
    deleted: int = 0
    failed: int = 0

    def attempt(self, name: str, delete: Callable[[], bool]) -> None:
        """Call what deletes, and says whether it did; an error of the storage is logged."""
        try:
            is_deleted = delete()
        except (Error, InvalidSetting):
            # It would be the same with the next one.
            raise
        except Exception as error:
            self.fail(name, error)
        else:
            if is_deleted:
                self.add(name)

    def add(self, *names: str) -> None:
        self.deleted += len(names)
        for name in names:
            self.report(name)

    def fail(self, name: str, error: Exception) -> None:
        self.failed += 1
        logger.error("Could not prune %r.", name, exc_info=error)


def prune_exports() -> None:
    """Delete the rows and files whose time is over; what fails is logged, and left for later."""
    delete_rows()
    expire_files()
    delete_leftovers()


def delete_rows(*, dry_run: bool = False, report: Report = ignore) -> Tally:
    """Delete the rows whose file is gone, or that have failed, for EXPORTER_DELETE_ROWS_AFTER."""
    require_settings()
    tally = Tally(report)
    if conf.delete_rows_after is None:
        return tally
    exports = _get_exports().outlived(conf.delete_rows_after)
    for batch in _read_batches(exports):
        keys = [export.pk for export in batch]
        if dry_run:
            tally.add(*keys)
        else:
            _delete_rows(exports, keys, tally)
    return tally


def expire_files(*, dry_run: bool = False, report: Report = ignore) -> Tally:
    """Delete the files whose time is over; their rows stay, and say so."""
    require_settings()
    tally = Tally(report)
    for batch in _read_batches(_get_exports().expired().deletable(conf.lease)):
        for export in batch:
            name = str(export.file.name)
            if dry_run:
                tally.add(name)
            else:
                tally.attempt(name, partial(export.expire, lease=conf.lease))
    return tally


def delete_leftovers(*, dry_run: bool = False, report: Report = ignore) -> Tally:
    """Delete what could not be deleted before, wherever it lies."""
    require_settings()
    tally = Tally(report)
    for leftover in find_leftovers().order_by("pk"):
        if dry_run:
            tally.add(leftover.object_name)
        else:
            tally.attempt(leftover.object_name, partial(remove_leftover, leftover))
    return tally


def remove_orphans(*, min_age: float, dry_run: bool = False, report: Report = ignore) -> Tally:
    """Delete the files below EXPORTER_PATH_PREFIX that no row refers to.

    Those saved within the last ``min_age`` seconds stay, as their row may not be committed yet.
    """
    require_settings()
    tally = Tally(report)
    for name in find_orphans(on_error=tally.fail):
        tally.attempt(name, partial(remove_orphan, name, min_age=min_age, dry_run=dry_run))
    return tally


def _get_exports() -> QueryExportQuerySet:
    # A replica may not know yet what another process has deleted.
    return QueryExport.objects.using(router.db_for_write(QueryExport))


def _read_batches(exports: QueryExportQuerySet) -> Iterator[list[QueryExport]]:
    """Read by key: what is done to a batch takes its rows out of the queryset, or does not."""
    last = ""
    while batch := list(exports.filter(pk__gt=last).order_by("pk")[:BATCH_SIZE]):
        yield batch
        last = batch[-1].pk


def _delete_rows(exports: QueryExportQuerySet, keys: list[str], tally: Tally) -> None:
    """Delete together, or one by one if another model protects some of them."""
    try:
        _, counts = exports.filter(pk__in=keys).delete()
    except IntegrityError as error:
        if len(keys) == 1:
            tally.fail(keys[0], error)
            return
        for key in keys:
            _delete_rows(exports, [key], tally)
    else:
        # Another process may have deleted some of them since they were read.
        tally.add(*keys[: counts.get(QueryExport._meta.label, 0)])

"""Put an end to exports whose process is gone, or have another worker take them over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import router
from django.db.models import CharField, F, Model, QuerySet, Value

from django_infra.db.transaction import is_in_transaction
from django_infra.exporter.conf import conf
from django_infra.exporter.exceptions import WorkerLost
from django_infra.exporter.housekeeping.leftovers import (
    find_leftovers,
    remove_leftovers,
    remove_remains,
    remove_stray_files,
)
from django_infra.exporter.models import ExportState, QueryExport

logger = logging.getLogger(__name__)

# By those who have other things to do; the rest is for the next one, or the command.
FEW = 20


@dataclass
class Recovery:
    """What a recovery has done, in exports and files."""

    failed: int = 0
    rescheduled: int = 0
    handed_over: int = 0
    stray_files: int = 0
    leftovers: int = 0
    may_have_leftovers: bool = True


def recover_exports(
    hand_over: Callable[[str], None] | None = None, *, limit: int | None = None
) -> Recovery:
    """Fail or reschedule the exports without a heartbeat for EXPORTER_LEASE seconds.

    ``hand_over(id)`` gives a job to a runner; without it no other worker can take one over. Jobs
    that nobody has taken for EXPORTER_HANDOVER_TIMEOUT seconds are handed over again, or failed
    where there is nobody to take them. What killed attempts left in the storage and the temporary
    folder is removed, and what could not be deleted before is deleted.
    """
    recovery = Recovery()
    # A replica may not know the last heartbeats.
    using = router.db_for_write(QueryExport)
    if is_in_transaction(using):
        # Neither would others see what changes here, nor may a runner hear of it yet.
        return recovery
    exports = QueryExport.objects.using(using).neglected(
        lease=conf.lease, timeout=conf.handover_timeout
    )
    leftovers = find_leftovers()
    kinds = _find_kinds(exports, leftovers)
    if QueryExport in kinds:
        # First those whose path somebody may want.
        order = F("heartbeat_at").asc(nulls_last=True), "handed_over_at"
        for export in exports.order_by(*order)[:limit]:
            if export.state != ExportState.SCHEDULED or export.heartbeat_at is not None:
                _end_attempt(export, hand_over, recovery)
            else:
                _end_waiting(export, hand_over, recovery)
    recovery.may_have_leftovers = bool(kinds)
    if kinds:
        recovery.leftovers = remove_leftovers(leftovers, limit=limit)
    recovery.stray_files = remove_stray_files()
    return recovery


def _find_kinds(*querysets: QuerySet[Any]) -> set[type[Model]]:
    """Return the models that have something to do, as most often none has, in one query."""
    kinds = {rows.model._meta.label: rows.model for rows in querysets}
    first, *others = (
        rows.order_by().values_list(Value(label, output_field=CharField()))
        for label, rows in zip(kinds, querysets, strict=True)
    )
    return {kinds[label] for (label,) in first.union(*others).order_by()}


def _end_attempt(
    export: QueryExport, hand_over: Callable[[str], None] | None, recovery: Recovery
) -> None:
    error = WorkerLost(
        f"Worker lost: no heartbeat for {conf.lease} seconds in attempt {export.attempt}."
    )
    if export.state == ExportState.FAIL:
        if export.begin_cleaning(lease=conf.lease):
            _clean(export)
    elif hand_over is not None and _may_be_taken_over(export):
        if export.reschedule(error, lease=conf.lease):
            recovery.rescheduled += 1
            remove_remains(export)
            _try_to_hand_over(export, hand_over)
    elif export.abandon(error, lease=conf.lease):
        recovery.failed += 1
        _clean(export)


def _end_waiting(
    export: QueryExport, hand_over: Callable[[str], None] | None, recovery: Recovery
) -> None:
    timeout = conf.handover_timeout
    if hand_over is None:
        error = WorkerLost(f"Worker lost: the job was not begun within {timeout} seconds.")
        recovery.failed += export.give_up(error, timeout=timeout)
    elif export.hand_over_again(timeout=timeout):
        recovery.handed_over += 1
        _try_to_hand_over(export, hand_over)


def _may_be_taken_over(export: QueryExport) -> bool:
    # A queryset that was in hand is gone with its process.
    has_begun = export.state == ExportState.PROCESSING
    return has_begun and bool(export.name) and export.attempt < conf.max_attempts


def _clean(export: QueryExport) -> None:
    if remove_remains(export):
        export.release()


def _try_to_hand_over(export: QueryExport, hand_over: Callable[[str], None]) -> None:
    """Give the job to the runner; if that fails, a later recovery will."""
    try:
        hand_over(export.id)
    except Exception:
        logger.exception("%s could not be handed over again.", export.id)

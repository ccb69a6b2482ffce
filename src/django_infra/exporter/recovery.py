"""Put an end to exports whose process is gone."""

from __future__ import annotations

import logging

from django.db import router

from django_infra.exporter.conf import conf
from django_infra.exporter.delivery import get_delivery
from django_infra.exporter.exceptions import WorkerLost
from django_infra.exporter.models import QueryExport

logger = logging.getLogger(__name__)


def fail_lost_exports() -> int:
    """Fail the exports without a heartbeat for EXPORTER_LEASE seconds, and count them."""
    count = 0
    error = WorkerLost(f"Worker lost: no heartbeat for {conf.lease} seconds.")
    # A replica may not know the last heartbeats.
    using = router.db_for_write(QueryExport)
    for export in QueryExport.objects.using(using).lost(conf.lease):
        if export.abandon(error, lease=conf.lease):
            count += 1
            _remove_remains(export)
    return count


def _remove_remains(export: QueryExport) -> None:
    """Remove the files of a lost export; an error is logged, for it is not the caller's."""
    try:
        delivery = get_delivery(export.storage, export.file_path, temp_name=export.id)
        delivery.remove_remains(may_be_saved=export.delivery_started_at is not None)
    except Exception:
        logger.exception("Could not remove what %s left behind.", export.id)

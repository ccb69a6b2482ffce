"""Run jobs at once, where nothing else is set up."""

from __future__ import annotations

import logging

from django_infra.exporter.exceptions import shorten
from django_infra.exporter.jobs.worker import run_job
from django_infra.exporter.runners.base import Runner

logger = logging.getLogger(__name__)


class InlineRunner(Runner):
    """Run a job at once, in the process that asked for it.

    The row says how it ended; an error is logged, and not raised.
    """

    works_at_once = True
    # Nobody else is there to take it, and a caller should not wait for the job of another one.
    hands_over_again = False

    def enqueue(self, export_id: str) -> None:
        try:
            run_job(export_id)
        except Exception as error:
            logger.error("%s failed.", export_id, exc_info=shorten(error))

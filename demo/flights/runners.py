"""Run jobs without a worker, for a site that is started to be looked at."""

from __future__ import annotations

import logging
from threading import Thread

from django.db import connections

from django_infra.exporter.jobs.worker import run_job
from django_infra.exporter.runners import Runner

logger = logging.getLogger(__name__)


class ThreadRunner(Runner):
    """Run each job in a thread of the process that was asked for it.

    The page moves while the job runs, without a worker to start. A site has workers: here a job
    ends with the process, and many at once have many threads.
    """

    def enqueue(self, export_id: str) -> None:
        Thread(target=self._run, args=[export_id], name=export_id, daemon=True).start()

    def _run(self, export_id: str) -> None:
        try:
            run_job(export_id, hand_over=self.hand_over)
        except Exception:
            logger.exception("%s failed.", export_id)
        finally:
            connections.close_all()

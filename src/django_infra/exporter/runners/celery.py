"""Run jobs on the workers of Celery."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django_infra.exporter.exceptions import InvalidSetting
from django_infra.exporter.housekeeping import retention
from django_infra.exporter.jobs.worker import run_job
from django_infra.exporter.runners import Runner, get_runner

try:
    from celery import shared_task  # type: ignore[import-untyped]
except ImportError as error:
    raise InvalidSetting('Celery is not installed: pip install "django-infra[celery]"') from error


class CeleryRunner(Runner):
    """Send jobs to the workers of the project's Celery app; the limits are in seconds."""

    def __init__(
        self,
        *,
        queue: str | None = None,
        time_limit: float | None = None,
        soft_time_limit: float | None = None,
        priority: int | None = None,
    ) -> None:
        options: dict[str, Any] = {
            "queue": queue,
            "time_limit": time_limit,
            "soft_time_limit": soft_time_limit,
            "priority": priority,
        }
        self.options = {name: value for name, value in options.items() if value is not None}

    def find_faults(self) -> Iterator[str]:
        soft, hard = self.options.get("soft_time_limit"), self.options.get("time_limit")
        # Celery would drop the hard limit without a word.
        if soft is not None and hard is not None and soft >= hard:
            yield f"its soft_time_limit {soft!r} must be less than its time_limit {hard!r}"

    def enqueue(self, export_id: str) -> None:
        run_export.apply_async(args=[export_id], **self.options)


# The row says how a job ended, and whether it is tried again. A message that is acknowledged late
# comes back when a worker dies before it has claimed the job, and does no harm afterwards.
@shared_task(  # type: ignore[untyped-decorator]
    name="django_infra.exporter.run_export", acks_late=True, ignore_result=True, max_retries=0
)
def run_export(export_id: str) -> None:
    """Run the job, as the message of its queue asks."""
    run_job(export_id, hand_over=get_runner().hand_over)


@shared_task(  # type: ignore[untyped-decorator]
    name="django_infra.exporter.recover_exports", ignore_result=True
)
def recover_exports() -> None:
    """Have lost jobs taken over, or failed; for the schedule of Celery beat."""
    get_runner().recover()


@shared_task(  # type: ignore[untyped-decorator]
    name="django_infra.exporter.prune_exports", ignore_result=True
)
def prune_exports() -> None:
    """Delete the files and rows whose time is over; for the schedule of Celery beat."""
    retention.prune_exports()

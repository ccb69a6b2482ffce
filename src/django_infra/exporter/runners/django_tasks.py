"""Run jobs on a backend of Django Tasks."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from django_infra.exporter.exceptions import InvalidSetting
from django_infra.exporter.jobs.worker import run_job
from django_infra.exporter.runners import Runner, get_runner

if find_spec("django.tasks"):
    from django.tasks import task, task_backends
elif find_spec("django_tasks"):
    from django_tasks import task, task_backends  # type: ignore[assignment,no-redef]
else:
    raise InvalidSetting(
        "Django has no tasks before 6.0, and the package that brings them is not installed: "
        'pip install "django-infra[tasks]"'
    )

DEFAULT_QUEUE = "default"


class DjangoTasksRunner(Runner):
    """Enqueue jobs on a backend of the setting TASKS."""

    def __init__(
        self, *, backend: str = "default", queue_name: str = DEFAULT_QUEUE, priority: int = 0
    ) -> None:
        self.backend = backend
        self.queue_name = queue_name
        self.priority = priority

    def enqueue(self, export_id: str) -> None:
        self._get_task().enqueue(export_id)

    def find_faults(self) -> Iterator[str]:
        try:
            self._get_task()
        except Exception as error:  # each backend has its own
            yield (
                f"with the backend {self.backend!r} of TASKS and its queue {self.queue_name!r}: "
                f"{type(error).__name__}: {error}"
            )

    def _get_task(self) -> Any:
        return run_export.using(
            backend=self.backend, queue_name=self.queue_name, priority=self.priority
        )


def _make_task(function: Any) -> Any:
    """Make a task of any backend that there is; ``using()`` has the right one.

    Its queue is looked for there, and a project need not have one called "default".
    """
    alias = next(iter(task_backends.settings))
    queues = task_backends[alias].queues
    queue_name = DEFAULT_QUEUE if not queues or DEFAULT_QUEUE in queues else min(queues)
    return task(backend=alias, queue_name=queue_name)(function)


# Workers find it by this path.
@_make_task
def run_export(export_id: str) -> None:
    """Run the job, as the message of its queue asks."""
    run_job(export_id, hand_over=get_runner().hand_over)

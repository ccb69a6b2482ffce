"""What runs jobs in the tests: the runner of the settings, and its workers."""

from __future__ import annotations

import os
import signal
import uuid
from contextlib import suppress

import psutil
from django_tasks_db.models import DBTaskResult

from exporter.faults.children import TIMEOUT, Child
from exporter.workers.brokers import BROKERS

ROLES = "exporter.workers.roles"


class Worker(Child):
    """A process that works until it is told or forced to end."""

    def __init__(self, role, folder, *, databases=None, overrides=None, **arguments):
        super().__init__(databases=databases, module=ROLES, **(overrides or {}))
        folder.mkdir(exist_ok=True)
        self.log_path = folder / f"{role}-{uuid.uuid4().hex}.log"
        self.begin(f"{ROLES}.{role}", log=str(self.log_path), **arguments)

    def __exit__(self, *error):
        self.kill_all()
        super().__exit__()

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        return self.log_path.read_text() if self.log_path.exists() else ""

    @property
    def is_alive(self):
        return self.process.poll() is None

    @property
    def is_at_work(self):
        return self.is_alive and bool(self.log)

    def find_pool(self):
        """Return the ids of the processes that the worker has started to work."""
        with suppress(psutil.NoSuchProcess):
            return [child.pid for child in psutil.Process(self.pid).children()]
        return []

    def send(self, number):
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill_all(self):
        """End it and all that it has started, as a machine ends that loses its power."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def wait(self):
        return self.process.wait(timeout=TIMEOUT)


class Engine:
    """Start workers that have the test's settings, and end them with the test."""

    # Is a job done by another process than the worker that was started?
    has_pool = False

    def __init__(self, folder):
        self.folder = folder
        self.workers = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for worker in self.workers:
            worker.__exit__()

    def start(self, *, databases=None, **overrides):
        """Start a worker with more settings."""
        worker = Worker(
            self.role,
            self.folder,
            databases=databases,
            overrides=overrides,
            **self.get_arguments(),
        )
        self.workers.append(worker)
        return worker


class TasksEngine(Engine):
    """Django Tasks, on the backend that keeps them in the database."""

    role = "run_db_worker"
    unheard_queue = {"queue_name": "quick"}

    def __exit__(self, *error):
        super().__exit__()
        DBTaskResult.objects.all().delete()

    def get_runner(self, **options):
        return {
            "BACKEND": "django_infra.exporter.runners.django_tasks.DjangoTasksRunner",
            "OPTIONS": {"backend": "exports", "queue_name": "slow", **options},
        }

    def get_arguments(self):
        return {"backend_name": "exports", "queue_name": "slow"}


class CeleryEngine(Engine):
    """Celery, whose workers fork."""

    role = "run_celery_worker"
    has_pool = True

    def __init__(self, folder, broker, *, concurrency=2):
        super().__init__(folder)
        self.broker = broker
        self.concurrency = concurrency

    def __enter__(self):
        self.broker.__enter__()
        return self

    @property
    def unheard_queue(self):
        return {"queue": self.broker.unheard_queue}

    def __exit__(self, *error):
        super().__exit__()
        self.broker.__exit__()

    def get_runner(self, **options):
        return {
            "BACKEND": "django_infra.exporter.runners.celery.CeleryRunner",
            "OPTIONS": {"queue": self.broker.queue, **options},
        }

    def get_arguments(self):
        return {
            "broker": self.broker.get_arguments(),
            "queue": self.broker.queue,
            "concurrency": self.concurrency,
        }


def make_engine(name, folder, **broker_options):
    """Make the engine called tasks, celery-redis or celery-rabbitmq."""
    if name == "tasks":
        return TasksEngine(folder)
    return CeleryEngine(folder, BROKERS[name.removeprefix("celery-")](**broker_options))

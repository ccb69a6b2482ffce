"""Kill, stop and cancel workers at random while they do a few hundred jobs, and look what is left.

    python tests/torture.py --engine celery-redis --jobs 400

DATABASE_URL chooses the database, as for the tests, and REDIS_URL and AMQP_URL the brokers.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

import django

os.environ.setdefault("EXPORTER_TEST_DB_SUFFIX", "_torture")
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
django.setup()

from django.conf import settings
from django.db import connections
from django.test.utils import setup_databases, setup_test_environment, teardown_databases

from django_infra.exporter.conf import conf
from django_infra.exporter.export import enqueue_export
from django_infra.exporter.models import ExportState, QueryExport
from django_infra.exporter.runners import get_runner
from exporter.faults.authors import make_authors, make_csv
from exporter.faults.children import end_fork_server
from exporter.faults.probes import find_files
from exporter.workers.engines import Worker, make_engine
from exporter.workers.events import note_ends

ENGINES = ["tasks", "celery-redis", "celery-rabbitmq"]
STORAGES = {
    "files": "django.core.files.storage.FileSystemStorage",
    "own": "exporter.faults.storages.InvertingStorage",
}
AUTHORS = 3000
LEASE = 3  # seconds
ACTIVE = 30  # jobs that are not done at a time
CANCELLED = 0.1  # of the jobs
PAUSES = 0.2, 1.5  # seconds between two signals
STOPS = 0.5, 2.5 * LEASE  # seconds that a process is stopped


def main(arguments):
    options = parse(arguments)
    print(f"Seed: {options.seed}")
    random.seed(options.seed)
    folder = Path(mkdtemp(prefix="exporter-torture-"))
    configure(folder, options)
    note_ends()
    with prepared_database(), ExitStack() as stack:
        stack.callback(end_fork_server)
        engine = stack.enter_context(make_engine(options.engine, folder / "logs"))
        settings.EXPORTER_RUNNER = engine.get_runner()
        authors = list(make_authors(AUTHORS).values_list("id", "name"))
        started = time.monotonic()
        with Chaos(engine, options.workers) as chaos:
            params = run_jobs(options.jobs)
            wait_for_all(options.patience)
        elapsed = time.monotonic() - started
        # What a recovery spares, it spares for no longer than a lease.
        wait_for_all(options.patience)
        time.sleep(LEASE + 1)
        get_runner().recover()
        faults = [*find_faults(params, authors), *find_strays(folder), *find_repetitions(folder)]
        report(chaos, elapsed, faults)
    if faults:
        print(f"Logs and files: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0])
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4, help="Celery forks as many again.")
    parser.add_argument("--storage", choices=STORAGES, default="files")
    parser.add_argument("--patience", type=int, default=300, help="Seconds for the last jobs.")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    return parser.parse_args(arguments)


def configure(folder, options):
    for name in ("media", "unfinished", "events"):
        (folder / name).mkdir()
    settings.MEDIA_ROOT = str(folder / "media")
    settings.EXPORTER_TEMP_DIR = str(folder / "unfinished")
    settings.EXPORTER_EVENTS = str(folder / "events" / "finished")
    settings.EXPORTER_LEASE = LEASE
    settings.EXPORTER_RETRY_DELAY = 0.2
    settings.EXPORTER_HANDOVER_TIMEOUT = 4 * LEASE
    settings.EXPORTER_CHUNK_SIZE = 100
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": STORAGES[options.storage]}}
    on_chunk = "exporter.workers.events.dawdle"
    settings.EXPORTER_FORMATS = {
        "csv": {
            "BACKEND": "exporter.faults.writers.SpiedCSVWriter",
            "OPTIONS": {"on_chunk": on_chunk},
        }
    }


@contextmanager
def prepared_database():
    setup_test_environment(debug=False)
    old = setup_databases(verbosity=0, interactive=False, aliases=["default"])
    try:
        yield
    finally:
        connections.close_all()
        # A server may not know yet that a client is gone.
        time.sleep(1)
        teardown_databases(old, verbosity=0)


def run_jobs(count):
    """Enqueue jobs, with some of them cancelled later, and return the parameters by id."""
    params = {}
    for _ in range(count):
        while QueryExport.objects.unfinished().count() >= ACTIVE:
            time.sleep(0.1)
        chosen = {
            "name": f"Author {random.randint(1, 9)}" if random.random() < 0.5 else "",
            "padding": random.choice([0, 10, 200]),
            "seconds": random.choice([0, 0, 0.3, 1.2]),
        }
        export = enqueue_export("authors", chosen)
        params[export.id] = chosen
        if random.random() < CANCELLED:
            threading.Timer(random.uniform(0, 3), cancel, args=[export]).start()
    return params


def cancel(export):
    export.refresh_from_db()
    export.cancel()
    connections.close_all()


def wait_for_all(patience):
    end = time.monotonic() + patience
    while (left := QueryExport.objects.unfinished().count()) and time.monotonic() < end:
        time.sleep(0.2)
    if left:
        print(f"{left} jobs did not end within {patience} seconds.")


class Chaos:
    """Workers and recoveries, and what befalls them; the dead are replaced."""

    def __init__(self, engine, count):
        self.engine = engine
        self.count = count // (2 if engine.has_pool else 1)
        self.has_ended = threading.Event()
        self.blows = Counter()
        self.stopped = {}

    def __enter__(self):
        self.workers = [self.start_worker() for _ in range(self.count)]
        self.recoveries = [self.start_recovery() for _ in range(2)]
        self.thread = threading.Thread(target=self.rage)
        self.thread.start()
        return self

    def __exit__(self, *error):
        """Let live what lives, but no longer than until all jobs have ended."""
        self.has_ended.set()
        self.thread.join()
        for worker in [*self.workers, *self.recoveries]:
            worker.__exit__()

    def start_worker(self):
        return self.engine.start()

    def start_recovery(self):
        return Worker(
            "recover_for_ever",
            self.engine.folder,
            broker=self.engine.broker.get_arguments() if self.engine.has_pool else None,
            queue=self.engine.broker.queue if self.engine.has_pool else None,
            pause=0.5,
        )

    def rage(self):
        while not self.has_ended.wait(random.uniform(*PAUSES)):
            self.strike()
            self.wake()
            self.replace()
        for pid in list(self.stopped):
            send(pid, signal.SIGCONT)

    def strike(self):
        workers = [worker for worker in [*self.workers, *self.recoveries] if worker.is_at_work]
        victims = [worker.pid for worker in workers]
        for worker in workers:
            victims += worker.find_pool() * 2
        victims = [pid for pid in victims if pid not in self.stopped]
        if not victims:
            return
        pid = random.choice(victims)
        blow = random.choices(["kill", "term", "term twice", "quit", "stop"], [5, 2, 1, 1, 4])[0]
        self.blows[blow] += 1
        if blow == "stop":
            send(pid, signal.SIGSTOP)
            self.stopped[pid] = time.monotonic() + random.uniform(*STOPS)
        elif blow == "kill":
            send(pid, signal.SIGKILL)
        elif blow == "quit":
            send(pid, signal.SIGQUIT)
        else:
            send(pid, signal.SIGTERM)
            if blow == "term twice":
                time.sleep(0.1)
                send(pid, signal.SIGTERM)

    def wake(self):
        for pid, end in list(self.stopped.items()):
            if time.monotonic() > end:
                send(pid, signal.SIGCONT)
                del self.stopped[pid]

    def replace(self):
        for number, worker in enumerate(self.workers):
            if not worker.is_alive:
                # Its pool may live on for a while, as an orphan.
                self.workers[number] = self.start_worker()
        for number, recovery in enumerate(self.recoveries):
            if not recovery.is_alive:
                recovery.__exit__()
                self.recoveries[number] = self.start_recovery()


def send(pid, number):
    with suppress(ProcessLookupError):
        os.kill(pid, number)


# ------------------------------------------------------------------------------ the verdict


def find_faults(params, authors):
    """Yield what is wrong with the rows, and with the files that they promise."""
    exports = QueryExport.objects.in_bulk()
    if exports.keys() != params.keys():
        yield "There are other rows than jobs."
    for export in exports.values():
        for fault in check(export, make_expected(params[export.id], authors)):
            yield f"{export.id}: {fault} {describe(export)}"


def make_expected(params, authors):
    rows = [(*row, "x" * params["padding"]) for row in authors if row[1].startswith(params["name"])]
    return make_csv(rows, ["No.", "Name", "Padding"]), len(rows)


def check(export, expected):
    if export.state == ExportState.SUCCESS:
        yield from check_success(export, *expected)
    elif export.state == ExportState.FAIL:
        yield from check_failure(export)
    else:
        yield "has not ended"
    if export.path_key is not None:
        yield "keeps its path"
    numbers = [failure["attempt"] for failure in export.failures]
    # One that is cancelled between two attempts has had the last of them already.
    may_be = [export.attempt - 1] if export.state == ExportState.SUCCESS else range(4)
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) not in may_be:
        yield "has lost or invented failures"
    if any(not failure["error"] for failure in export.failures):
        yield "has a failure without an error"
    if export.attempt > conf.max_attempts or export.finished_at is None:
        yield "counts attempts or time wrongly"


def check_success(export, content, row_count):
    try:
        with export.file.open("rb") as file:
            if file.read() != content:
                yield "has a wrong file"
    except OSError:
        yield "has no file"
    if (export.row_count, export.file_size) != (row_count, len(content)):
        yield "counts wrongly"
    if export.progress_percent != 100 or export.error_log:
        yield "says something else than that it has succeeded"


def check_failure(export):
    if export.file or not export.error_log:
        yield "does not say why it failed"
    if len(export.failures) not in (export.attempt, export.attempt - 1):
        yield "has lost a failure"


def find_strays(folder):
    """Yield the files that no row promises."""
    promised = set(QueryExport.objects.succeeded().values_list("file", flat=True))
    for name in sorted(set(find_files(folder / "media")) - promised):
        yield f"stray file {name}"
    for name in find_files(folder / "unfinished"):
        yield f"stray temporary file {name}"


def find_repetitions(folder):
    """Yield the jobs that have ended more than once, or otherwise than their row says."""
    states = dict(QueryExport.objects.values_list("id", "state"))
    path = folder / "events" / "finished"
    events = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    counts = Counter(event["id"] for event in events)
    yield from (f"{id} has ended {count} times" for id, count in counts.items() if count > 1)
    for event in events:
        if event["state"] != states.get(event["id"]):
            yield f"{event['id']} has ended as {event['state']}, and is {states.get(event['id'])}"


def describe(export):
    return f"({export.state}, attempt {export.attempt}, {export.failures}, {export.error_log!r})"


def report(chaos, elapsed, faults):
    states = Counter(QueryExport.objects.values_list("state", flat=True))
    attempts = Counter(QueryExport.objects.values_list("attempt", flat=True))
    reasons = Counter(
        error.partition(":")[0]
        for error in QueryExport.objects.failed().values_list("error_log", flat=True)
    )
    print(f"{sum(states.values())} jobs in {elapsed:.0f} seconds: {dict(states)}")
    print(f"Blows: {dict(chaos.blows)}")
    print(f"Attempts: {dict(sorted(attempts.items()))}. Failures: {dict(reasons)}")
    print("\n".join(faults) or "Nothing is wrong.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

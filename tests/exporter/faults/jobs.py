"""What the processes of the tests do, and what happens to them in the middle of it."""

from __future__ import annotations

import io
import itertools
import json
import logging
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from resource import RUSAGE_SELF, getrusage

from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages
from django.core.management import call_command
from django.db import connection, connections
from django.db.models import F, Value
from django.db.models.functions import Repeat
from django.utils.module_loading import import_string

from django_infra.exporter.delivery import get_delivery
from django_infra.exporter.export import export_queryset, schedule_export
from django_infra.exporter.housekeeping import recovery, retention
from django_infra.exporter.jobs import pipeline, progress
from django_infra.exporter.jobs.worker import run_job
from django_infra.exporter.models import QueryExport
from exporter.faults.probes import fetch, find_sessions
from exporter.faults.sweeps import interrupt_at, kill_at, sweep
from testapp.models import Author, Everything

NOBODY = 65534


def say(data):
    """Give a line to the test."""
    print(json.dumps(data), flush=True)


def export_authors(path=None, *, padding=0, **filters):
    """Export the authors, and return the outcome as data."""
    authors = Author.objects.filter(**filters).annotate(padding=Repeat(Value("x"), padding))
    try:
        export = export_queryset(authors.order_by("pk"), ["id", "name", "padding"], path)
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {"id": export.id, "state": export.state, "rows": export.row_count}


def export_for(path, *, seconds, max_rows=None):
    """Export the authors into a file that is kept for so long, and return the outcome as data."""
    period = timedelta(seconds=seconds)
    try:
        export = export_queryset(
            Author.objects.all(), ["id"], path, expires_in=period, max_rows=max_rows
        )
    except Exception as error:
        return {"error": type(error).__name__}
    return {"state": export.state}


def read_clock():
    return time.time()


def end_everywhere(how, count, seed):
    """Export one row again and again, end it at so many lines, and return what is wrong by line."""
    author = Author.objects.order_by("pk")[:1]

    def run(path):
        export_queryset(author, ["id"], path)

    run("warm.csv")
    return sweep(run, {"interrupt": interrupt_at, "kill": kill_at}[how], count, seed)


def export_in_threads(count):
    """Export the same from many threads at once, and return the outcomes."""
    barrier = threading.Barrier(count)

    def run(number):
        barrier.wait()
        try:
            return export_authors(f"threads/{number}.csv", padding=1000)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def export_huge_cell(path, columns):
    """Export the only row of everything; return by how many bytes the memory has grown at most."""
    export_authors("warm.csv")
    before = getrusage(RUSAGE_SELF).ru_maxrss
    export = export_queryset(Everything.objects.all(), columns, path)
    growth = (getrusage(RUSAGE_SELF).ru_maxrss - before) * 1024
    return {"state": export.state, "growth": growth}


def prepare_database(authors):
    """Make an empty database, whatever was there, one with so many authors."""
    call_command("migrate", verbosity=0, run_syncdb=True)
    call_command("flush", verbosity=0, interactive=False)
    Author.objects.bulk_create(Author(name=f"Author {number}") for number in range(authors))


def read_exports():
    fields = ["state", "attempt", "failures", "row_count", "error_log"]
    return list(QueryExport.objects.values(*fields))


def fail_lost_exports(lease):
    settings.EXPORTER_LEASE = lease
    return recovery.recover_exports().failed


def hurry(interval):
    """Tell the progress more often than once a second."""
    progress.INTERVAL = interval


def give_up_early():
    """Do not wait long for a database that is away."""
    pipeline.PATIENCE = 0.005


def count_sessions():
    return len(find_sessions(connection)) + 1


def show_in_sessions(name, count):
    """Return a setting as so many transactions after one another have it."""
    return [fetch(connection, f"SHOW {name}")[0][0] for _ in range(count)]


# ------------------------------------------------------------ what happens at a chunk


def kill_at_third_chunk(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)


def stop_at_third_chunk(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGSTOP)


def wait_at_third_chunk(number):
    if number == 3:
        say("at the third chunk")
        sys.stdin.readline()


def nap(number):
    time.sleep(0.05)


def interrupt_at_third_chunk(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGINT)


def terminate_at_third_chunk(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGTERM)


# ----------------------------------------------------------- what happens at other times


def signal_before_success(number):
    """Have this process get a signal when the file is delivered, and the row not yet told."""
    succeed = QueryExport.succeed

    def succeed_after_signal(*args, **kwargs):
        os.kill(os.getpid(), number)
        return succeed(*args, **kwargs)

    QueryExport.succeed = succeed_after_signal


def signal_at_success(number, *, is_told):
    """Have this process get a signal before or after the row is told that the file is saved."""
    succeed = QueryExport.succeed

    def succeed_with_signal(*args, **kwargs):
        if is_told:
            succeed(*args, **kwargs)
        os.kill(os.getpid(), number)

    QueryExport.succeed = succeed_with_signal


def wait_before_success():
    """Have the next export wait for the test when the file is delivered."""
    succeed = QueryExport.succeed
    calls = itertools.count()

    def wait_and_succeed(*args, **kwargs):
        if next(calls) == 0:
            say("before success")
            sys.stdin.readline()
        return succeed(*args, **kwargs)

    QueryExport.succeed = wait_and_succeed


def signal_at_deletion(number, *, is_deleted):
    """Have this process get a signal before or after a file is deleted from the storage."""
    delete = FileSystemStorage.delete

    def delete_with_signal(storage, name):
        if is_deleted:
            delete(storage, name)
        os.kill(os.getpid(), number)
        delete(storage, name)

    FileSystemStorage.delete = delete_with_signal


def kill_after(step):
    """Have this process die when an unfinished file was renamed or linked."""
    is_done = []

    def watch(event, args):
        # Whatever is asked of the system next comes after the step.
        if is_done and event.startswith(("os.", "open")):
            is_done.clear()
            os.kill(os.getpid(), signal.SIGKILL)
        elif event == f"os.{step}" and str(args[0]).endswith(".part"):
            is_done.append(event)

    sys.addaudithook(watch)


def exit_on_sigterm(code):
    signal.signal(signal.SIGTERM, lambda *args: sys.exit(code))


# ------------------------------------------------------------------------- a race


def prune(seconds=None, **options):
    """Run the command when the test says, and return what it says, also as an error."""
    if seconds is not None:
        settings.EXPORTER_DELETE_ROWS_AFTER = timedelta(seconds=seconds)
    say("ready")
    sys.stdin.readline()
    out = io.StringIO()
    try:
        call_command("prune_exports", stdout=out, **options)
    except Exception as error:
        out.write(f"{type(error).__name__}: {error}")
    return out.getvalue().strip()


def prune_again_and_again():
    """Prune until the test says that it is enough, and return how many files that deleted."""
    say("ready")
    enough = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), enough.set())).start()
    deleted = 0
    while not enough.is_set():
        deleted += retention.expire_files().deleted
    return deleted


def race(path_format, rounds, name):
    """Export to one path after the other, each at the moment that the test says."""
    outcomes = []
    for number in range(rounds):
        say(number)  # ready
        sys.stdin.readline()  # go
        outcomes.append(export_authors(path_format.format(number), name__startswith=name))
    return outcomes


# ----------------------------------------------------------------------- other rights


def export_as_nobody(path):
    """Export as a user who is not root, and return which queries read the authors."""
    export_authors("warm.csv")  # import and open all that only root may
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    queries = []

    def log(execute, sql, params, many, context):
        if "testapp_author" in sql:
            queries.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(log):
        return {**export_authors(path), "queries": queries}


def watch_as_nobody(folders):
    """Read all that a stranger can read in the folders until the test says that it is enough.

    Say when the first file is seen, and return how many were seen and which gave a byte.
    """
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    enough = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), enough.set())).start()
    say("ready")
    seen, read = set(), set()
    while not enough.is_set():
        for folder in folders:
            for entry in os.scandir(folder):
                if not entry.is_dir(follow_symlinks=False):
                    if not seen:
                        say("seen")
                    seen.add(entry.name)
                    if _read_somehow(entry.path):
                        read.add(entry.name)
    return {"seen": len(seen), "read": sorted(read)}


def deliver_as_nobody(name):
    """Save a file as a user who is not root, and return its mode and what is beside it."""
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    storage = storages["default"]
    with get_delivery(storage, name, temp_name="x", may_stay=lambda: True) as delivery:
        delivery.file.write(b"mine")
        delivery.deliver()
    return storage.listdir("")


def _read_somehow(path):
    try:
        with open(path, "rb") as file:
            return file.read(1)
    except OSError:
        return b""


def recover_as_nobody():
    """Look for lost exports as a user who may not write to the storage; return what is logged."""
    recovery.recover_exports()  # import and open all that only root may
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    records = []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: records.append(record.getMessage())
    logging.getLogger("django_infra").addHandler(handler)
    recovery.recover_exports()
    return records


# ------------------------------------------------------------------- jobs in an outage


def schedule(name="authors", **params):
    return schedule_export(name, params).id


def run(export_id):
    """Run the job, and return what it raises and what is logged of it."""
    records = []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: records.append(record.getMessage())
    logger = logging.getLogger("django_infra")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    error = None
    try:
        run_job(export_id)
    except Exception as raised:
        error = repr(raised)
    logger.removeHandler(handler)
    return {"error": error, "log": records}


def recover_and_run():
    """Let an hour pass, recover, and run what is handed over."""
    hour = timedelta(hours=1)
    QueryExport.objects.update(
        heartbeat_at=F("heartbeat_at") - hour, handed_over_at=F("handed_over_at") - hour
    )
    ids = []
    recovery.recover_exports(ids.append)
    return [run(export_id) for export_id in ids]


def cancel(export_id):
    try:
        return {"is_cancelled": QueryExport.objects.get(pk=export_id).cancel()}
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)}


def pause_at(target):
    """Have this process wait for the test just before the function is called for the first time."""
    _wrap_first_call(target, lambda: (say("paused"), sys.stdin.readline()))


def stop_at(target):
    """Have this process stop just before the function is called for the first time."""
    _wrap_first_call(target, lambda: os.kill(os.getpid(), signal.SIGSTOP))


def break_at(target):
    """Have the first call of the function fail, as if a storage could not be reached."""

    def fail():
        raise ConnectionError("The line is dead.")

    _wrap_first_call(target, fail)


def _wrap_first_call(target, act):
    path, _, name = target.rpartition(".")
    owner = import_string(path)
    function = getattr(owner, name)
    calls = itertools.count()

    def act_and_call(*args, **kwargs):
        if next(calls) == 0:
            act()
        return function(*args, **kwargs)

    setattr(owner, name, act_and_call)

"""Exports that end at every single line of ours, one line after the other."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import threading
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import connections
from django.db.models import F

from django_infra.exporter import export
from django_infra.exporter.delivery import base, durability, filesystem
from django_infra.exporter.housekeeping.recovery import recover_exports
from django_infra.exporter.jobs import pipeline, progress
from django_infra.exporter.models import QueryExport, leftover
from exporter.faults.probes import PATIENCE, THREAD_NAMES, find_files

WATCHED = {
    module.__file__
    for module in (base, durability, filesystem, leftover, export, pipeline, progress)
}


class LineTrace:
    """Note the lines that run in the watched modules, and act when one of them is to run."""

    def __init__(self, place=None, action=None):
        self.place = place
        self.action = action
        self.places = {}

    def __enter__(self):
        sys.settrace(self.trace_call)
        return self

    def __exit__(self, *error):
        sys.settrace(None)

    def trace_call(self, frame, event, arg):
        return self.trace_line if frame.f_code.co_filename in WATCHED else None

    def trace_line(self, frame, event, arg):
        if event == "line":
            place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
            self.places[place] = True
            if place == self.place:
                sys.settrace(None)
                self.action()
        return self.trace_line


def sweep(run, end_at, count, seed):
    """Run once to learn the lines, end a run at each, and return what is then wrong, by the line.

    With a count these are so many lines, chosen by the seed.
    """
    with LineTrace() as trace:
        run("whole.csv")
    places = list(trace.places)
    if count is not None:
        places = random.Random(seed).sample(places, min(count, len(places)))
    faults = {}
    for number, place in enumerate(places):
        QueryExport.objects.all().delete()
        path = f"{number}.csv"
        end_at(place, partial(run, path))
        if found := [*find_wrong_states(path), *find_leaked_threads()]:
            faults[place] = found
    return faults


def interrupt_at(place, run):
    """Run with a Ctrl-C just before the line."""
    with suppress(KeyboardInterrupt), LineTrace(place, interrupt):
        run()


def interrupt():
    raise KeyboardInterrupt


def kill_at(place, run):
    """Run in a process of its own that dies just before the line."""
    connections.close_all()
    if (pid := os.fork()) == 0:
        with LineTrace(place, kill):
            run()
        os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def find_wrong_states(path):
    """Return what is wrong with the row and the files, at once and after the lease has run out."""
    row = QueryExport.objects.first()
    if row and row.state == "success" and not Path(settings.MEDIA_ROOT, path).exists():
        yield "success without a file"
    QueryExport.objects.update(heartbeat_at=F("heartbeat_at") - timedelta(hours=1))
    recover_exports()
    if row := QueryExport.objects.first():
        found = find_files(settings.MEDIA_ROOT, settings.EXPORTER_TEMP_DIR)
        files = [name for name in found if row.id in name or name == path]
        if row.state not in {"success", "fail"}:
            yield f"{row.state} for ever"
        if files != ([path] if row.state == "success" else []):
            yield f"{row.state} with {' and '.join(files).replace(row.id, 'ID') or 'no file'}"


def find_leaked_threads():
    """Return the threads of ours that go on for long, and mark them as found."""
    # They end with what has started them, which an interrupt may have left to the collector.
    gc.collect()
    for thread in threading.enumerate():
        if thread.name.startswith(THREAD_NAMES):
            thread.join(PATIENCE)
        if thread.is_alive() and thread.name.startswith(THREAD_NAMES):
            yield f"the thread {thread.name.partition(' of ')[0]!r} goes on"
            thread.name = "found"

"""What the processes do that work on jobs: those of Django Tasks and Celery, and others."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time

from django.conf import settings
from django.core.management import call_command
from django.db import connections

from django_infra.exporter.export import enqueue_export
from django_infra.exporter.jobs.worker import run_job
from django_infra.exporter.runners import get_runner
from django_infra.exporter.signals import export_started
from exporter.workers.brokers import make_app
from exporter.workers.events import note_ends


def run_db_worker(log, *, backend_name, queue_name):
    begin_work(log)
    call_command(
        "db_worker",
        backend_name=backend_name,
        queue_name=queue_name,
        interval=0.1,
        startup_delay=False,
        reload=False,
    )
    sys.exit()


def run_celery_worker(log, *, broker, queue, concurrency):
    begin_work(log)
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    make_app(**broker, queue=queue).worker_main(
        ["worker", "--loglevel=INFO", f"--concurrency={concurrency}", *options]
    )
    sys.exit()


def enqueue(name, *, broker, queue):
    """Have an export of the name made by way of the broker, and return its id."""
    make_app(**broker, queue=queue).set_current()
    return enqueue_export(name).id


def recover_for_ever(log, *, broker, queue, pause):
    """Do what a cron job would, and sooner."""
    begin_work(log)
    if broker:
        make_app(**broker, queue=queue).set_current()
    logging.info("Recovering.")
    while True:
        try:
            get_runner().recover()
        except Exception:
            logging.exception("The recovery failed.")
            connections.close_all()
        time.sleep(pause)


def begin_work(log):
    """Write to the file what a worker says, and end with the test."""
    with open(log, "ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if hasattr(settings, "EXPORTER_EVENTS"):
        note_ends()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(message)s")
    threading.Thread(target=end_with_the_test, args=[os.dup(0)], daemon=True).start()


def end_with_the_test(stdin):
    """Wait until nobody can ask for anything any more."""
    while os.read(stdin, 1024):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def race_for_jobs(ids, processes):
    """Have each process run each job at the moment when all do, and count the begun attempts."""
    connections.close_all()
    context = multiprocessing.get_context("fork")
    barrier, begun = context.Barrier(processes), context.Array("i", len(ids))

    def count(export, **kwargs):
        with begun:
            begun[ids.index(export.id)] += 1

    def race():
        export_started.connect(count)
        for id in ids:
            barrier.wait(timeout=60)
            run_job(id)

    racers = [context.Process(target=race) for _ in range(processes)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    return {"begun": list(begun), "exit_codes": [racer.exitcode for racer in racers]}

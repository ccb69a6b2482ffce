"""What the workers of ``torture.py`` do on the way, and tell of it."""

from __future__ import annotations

import json
import os
import random
import time

from django.conf import settings

from django_infra.exporter.signals import export_failed, export_finished


def dawdle(number):
    time.sleep(random.uniform(0, 0.06))


def note_ends():
    """Have each end of a job written down by the process that has brought it about."""
    for signal in (export_finished, export_failed):
        signal.connect(note_end, dispatch_uid="torture")


def note_end(export, **kwargs):
    line = json.dumps({"id": export.id, "state": export.state, "pid": os.getpid()}) + "\n"
    file = os.open(settings.EXPORTER_EVENTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)

"""Attempts that wait in the middle of their rows until the test lets go."""

from __future__ import annotations

import os
import time
from pathlib import Path

from django.conf import settings

from exporter.faults.probes import wait_until


def hold(number):
    """Have the third chunk wait, in as many attempts as the settings say."""
    if number == 3 and take_place():
        while not (Path(settings.EXPORTER_HOLD_DIR) / "released").exists():
            time.sleep(0.02)


def take_place():
    """Say in which process this attempt waits, unless enough others have waited."""
    folder = Path(settings.EXPORTER_HOLD_DIR)
    for number in range(settings.EXPORTER_HOLDS):
        try:
            with (folder / str(number)).open("x") as file:
                print(os.getpid(), file=file)
                return True
        except FileExistsError:
            continue
    return False


def nap_and_count(number):
    """Take a while for each chunk, and tell how many there have been."""
    time.sleep(0.05)
    with (Path(settings.EXPORTER_HOLD_DIR) / "chunks").open("a") as file:
        file.write(".")


def count_chunks(folder):
    path = Path(folder) / "chunks"
    return path.stat().st_size if path.exists() else 0


class Holds:
    """The test's side."""

    def __init__(self, folder):
        self.folder = folder

    def wait(self, number=0):
        """Wait until so many attempts have been held before, and return the process of this one."""
        path = self.folder / str(number)
        return int(wait_until(lambda: path.exists() and path.read_text()))

    def release(self):
        (self.folder / "released").touch()

"""Print when a file in a folder becomes longer than so many bytes: watching.py FOLDER SIZE."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress

TIMEOUT = 60  # seconds


def watch(folder: str, size: int) -> None:
    ends = time.monotonic() + TIMEOUT
    print("ready", flush=True)
    while time.monotonic() < ends and not has_longer_file(folder, size):
        time.sleep(0.0005)
    print(time.monotonic())


def has_longer_file(folder: str, size: int) -> bool:
    with suppress(FileNotFoundError):
        return any(entry.stat().st_size > size for entry in os.scandir(folder))
    return False


if __name__ == "__main__":
    watch(sys.argv[1], int(sys.argv[2]))

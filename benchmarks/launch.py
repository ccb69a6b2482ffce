"""Run a command with its output in a file, and print its wall time, CPU time, peak memory and code.

A new process counts the memory of the one that it was forked from into its own peak, so this one
is as small as Python can be, and the runner may be large: python -I -S launch.py OUTPUT COMMAND...
"""

from __future__ import annotations

import os
import sys
import time

# Linux counts in kibibytes, macOS in bytes.
MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024

output, *command = sys.argv[1:]
mode = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
started = time.monotonic()
process = os.posix_spawnp(
    command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, output, mode, 0o644)]
)
_, status, usage = os.wait4(process, 0)
wall = time.monotonic() - started
print(
    wall,
    usage.ru_utime + usage.ru_stime,
    usage.ru_maxrss * MEMORY_UNIT,
    os.waitstatus_to_exitcode(status),
)

"""Start processes that do one thing each, so that nobody inherits what another has done."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from databases import Database
from results import Run

HERE = Path(__file__).resolve().parent
# The code of prepare.py where there is no server.
NOT_FOUND = 3


class Failure(Exception):
    """A process ended with an error."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Children:
    """The processes that work on one database."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder

    def measure(self, command: Sequence[str], output: str, *, rows: int) -> Run:
        """Run the command, whose output goes to a file."""
        child = self._start("-I", "-S", "launch.py", output, *command, rows=rows)
        wall, cpu, memory, code = child.stdout.split()
        if code != "0":
            raise Failure(_get_reason(child.stderr), int(code))
        return Run(float(wall), float(cpu), int(memory))

    def ask(self, function: str, *, rows: int) -> Any:
        """Call the function with Django set up, and return its answer."""
        child = self._start("child.py", function, rows=rows)
        if child.returncode:
            raise Failure(_get_reason(child.stderr), child.returncode)
        return json.loads(child.stdout)

    def _start(self, *script: str, rows: int) -> subprocess.CompletedProcess[str]:
        environment = {
            "BENCH_DATABASE_URL": self.database.url,
            "BENCH_FOLDER": str(self.folder),
            "BENCH_ROWS": str(rows),
            **self.database.get_environment(),
        }
        return subprocess.run(
            [sys.executable, *script],
            cwd=HERE,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )


def _get_reason(text: str) -> str:
    """Return the line that names the error, without the paths of this machine."""
    lines = text.strip().splitlines() or ["no message"]
    errors = [line for line in lines if re.match(r"[\w.]+: ", line)]
    line = errors[-1] if errors else lines[-1]
    return re.sub(r"(?<![\w/])/[\w.-]+(/[\w.-]+)+", "…", line)

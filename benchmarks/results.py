"""Hold what was measured, in memory and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Run:
    wall: float  # seconds
    cpu: float  # seconds of the process itself, user and system
    memory: int  # bytes at the peak


@dataclass
class Result:
    """The runs of one contender on one database at one size."""

    database: str
    rows: int
    contender: str
    runs: list[Run] = field(default_factory=list)
    size: int = 0  # bytes of the file
    # Why there are no runs.
    absence: str = ""

    def get_median(self, measure: str) -> float:
        return median(getattr(run, measure) for run in self.runs)


@dataclass
class Results:
    facts: dict[str, str] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)
    rounds: int = 0
    # What the server of each database says it is, or why it was skipped.
    servers: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    # How the file of each contender differs from the reference, by database and name.
    differences: dict[str, dict[str, str]] = field(default_factory=dict)
    # What the probes answered, by database and name.
    probes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def find(self, database: str, contender: str, rows: int) -> Result | None:
        """Return the result, if it was measured."""
        for result in self.results:
            key = (result.database, result.contender, result.rows)
            if key == (database, contender, rows) and result.runs:
                return result
        return None

    def select(self, database: str, rows: int | None = None) -> Iterator[Result]:
        for result in self.results:
            if result.database == database and rows in (None, result.rows):
                yield result

    def find_common_rows(self, database: str, *contenders: str) -> int | None:
        """Return the largest size at which all of the contenders were measured."""
        sizes = [
            rows
            for rows in self.sizes
            if all(self.find(database, contender, rows) for contender in contenders)
        ]
        return max(sizes, default=None)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Results:
        content = json.loads(path.read_text())
        content["results"] = [
            Result(**{**result, "runs": [Run(**run) for run in result["runs"]]})
            for result in content["results"]
        ]
        return cls(**content)

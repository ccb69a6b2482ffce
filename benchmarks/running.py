"""Start contenders in processes of their own, by turns, and measure them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isinf
from pathlib import Path

from catalogue import BY_NAME, CONTENDERS, EXACT, REFERENCES, Contender, Job
from children import Children, Failure
from comparing import SAME, compare_files
from databases import Database
from results import Result, Results

# Unmeasured sizes, from which it is known how long a contender takes at the next.
PILOT_SIZES = [10_000, 100_000]
# Seconds after which one round of a contender has to do, and those after which none is run.
LONG = 8
TOO_LONG = 15


@dataclass(frozen=True)
class Plan:
    sizes: Sequence[int]
    rounds: int
    contenders: Sequence[str]
    is_slow: bool
    folder: Path

    def select(self, database: Database) -> list[Contender]:
        return [
            contender
            for contender in CONTENDERS
            if database.name in contender.databases
            and (not self.contenders or contender.name in self.contenders)
        ]


class DatabaseBench:
    """All measurements on one database."""

    def __init__(self, database: Database, plan: Plan, results: Results) -> None:
        self.database = database
        self.plan = plan
        self.results = results
        self.contenders = plan.select(database)
        self.children = Children(database, plan.folder)
        self.pilot = Results()
        self.sql = ""

    def run(self) -> None:
        """Measure all sizes; raise Failure if the server does not answer."""
        smallest = min(self.plan.sizes)
        for rows in PILOT_SIZES:
            if rows < smallest:
                self._run_size(rows, rounds=1, results=self.pilot)
        for rows in self.plan.sizes:
            self._run_size(rows, rounds=self.plan.rounds, results=self.results)
        self._run_probes()

    def _run_size(self, rows: int, *, rounds: int, results: Results) -> None:
        print(f"{self.database.label}: {rows:,} rows", flush=True)
        answer = self.children.ask("prepare.prepare", rows=rows)
        self.sql = answer["sql"]
        self.results.servers[self.database.name] = answer["server"]
        self.results.facts["python"] = answer["python"]
        found = {
            contender.name: Result(self.database.name, rows, contender.name)
            for contender in self.contenders
        }
        results.results += found.values()
        turns = {
            contender.name: self._count_turns(contender, found[contender.name], rounds)
            for contender in self.contenders
        }
        self._warm_up(rows)
        for turn in range(rounds):
            for contender in self.contenders:
                if turn < turns[contender.name] and not found[contender.name].absence:
                    self._take_turn(contender, found[contender.name], f"{turn + 1}/{rounds}")
            if turn == 0:
                self._compare_once()
        for contender in self.contenders:
            self._get_path(contender).unlink(missing_ok=True)

    def _count_turns(self, contender: Contender, result: Result, rounds: int) -> int:
        """Return how many rounds a contender runs: all, or one, or none if it takes too long."""
        if missing := contender.find_missing():
            result.absence = f"not installed: {missing}"
            return 0
        seconds = self._predict(result)
        if self.plan.is_slow or seconds is None or seconds < LONG:
            return rounds
        if contender.role == "peer" and seconds > TOO_LONG:
            reason = "as at fewer rows" if isinf(seconds) else f"since it takes {seconds:.0f} s"
            result.absence = f"left out, {reason}; `SLOW=1` runs it"
            return 0
        return 1

    def _predict(self, result: Result) -> float | None:
        """Return how long the contender will take, from the two sizes before this one."""
        known = {
            earlier.rows: earlier
            for results in (self.pilot, self.results)
            for earlier in results.results
            if earlier.rows < result.rows
            and (earlier.database, earlier.contender) == (result.database, result.contender)
        }
        for earlier in known.values():
            if earlier.absence.startswith("failed"):
                return None
        if any(earlier.absence for earlier in known.values()):
            return inf
        if len(known) < 2:
            return None
        first, last = (known[rows] for rows in sorted(known)[-2:])
        wall = last.get_median("wall")
        slope = (wall - first.get_median("wall")) / (last.rows - first.rows)
        return wall + slope * (result.rows - last.rows)

    def _warm_up(self, rows: int) -> None:
        """Let the limit read all rows once, so that nobody is the first to do so."""
        for contender in self.contenders:
            if contender.role == "limit" and not contender.find_missing():
                self._take_turn(contender, Result(self.database.name, rows, contender.name), "")
                return

    def _take_turn(self, contender: Contender, result: Result, turn: str) -> None:
        path = self._get_path(contender)
        path.unlink(missing_ok=True)
        job = Job(self.database, self.sql, path)
        try:
            output = str(path) if contender.is_printing else os.devnull
            run = self.children.measure(contender.get_command(job), output, rows=result.rows)
        except Failure as failure:
            result.absence = f"failed: {failure}"
            print(f"  {contender.name}: {result.absence}", flush=True)
            return
        result.runs.append(run)
        result.size = path.stat().st_size
        if turn:
            print(
                f"  {turn} {contender.name}: {run.wall:.2f} s, CPU {run.cpu:.2f} s, "
                f"{run.memory / 1e6:.0f} MB",
                flush=True,
            )

    def _compare_once(self) -> None:
        """Compare the files of the first size."""
        if self.database.name in self.results.differences:
            return
        differences = self.results.differences[self.database.name] = {}
        for contender in self.contenders:
            reference = self._get_path_of(REFERENCES[contender.group])
            path = self._get_path(contender)
            if reference.exists() and path.exists():
                differences[contender.name] = (
                    "the reference"
                    if path == reference
                    else compare_files(reference, path, has_tabs=contender.has_tabs)
                )

    def _run_probes(self) -> None:
        if self.plan.contenders and "ours" not in self.plan.contenders:
            return
        rows = max(self.plan.sizes)
        names = ["statements"]
        if self.database.name == "postgresql":
            names += ["first_byte", "small_exports"]
        for name in names:
            try:
                answer = self.children.ask(f"probes.{name}.probe", rows=rows)
            except Failure as failure:
                answer = {"error": str(failure)}
            self.results.probes.setdefault(self.database.name, {})[name] = answer
            print(f"  {name}: {answer}", flush=True)

    def _get_path(self, contender: Contender) -> Path:
        return self._get_path_of(contender.name)

    def _get_path_of(self, name: str) -> Path:
        return self.plan.folder / "files" / f"{name}.csv"


def find_faults(results: Results) -> list[str]:
    """Return what must not be: our bytes are others than hand-written code's, or a run failed."""
    failures = [
        f"{result.contender} on {result.database} {result.absence}"
        for result in results.results
        if result.absence.startswith("failed") and BY_NAME[result.contender].role != "peer"
    ]
    return failures + [
        f"{name} on {database} writes other bytes than hand-written code: {difference}"
        for database, differences in results.differences.items()
        for name, difference in differences.items()
        if name in EXACT and difference != SAME
    ]

"""Compute the figures that say whether the exporter keeps what it promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from catalogue import BY_NAME
from databases import Database
from results import Results

OURS = {"off": "ours_unguarded", "on": "ours"}


@dataclass(frozen=True)
class Figure:
    """One line: what it is, and its value with the formula guard off and on."""

    label: str
    off: str
    on: str


class Figures:
    """All figures of one database."""

    def __init__(self, results: Results, database: Database) -> None:
        self.results = results
        self.database = database
        self.answers = results.probes.get(database.name, {})

    def list(self) -> Iterator[Figure]:
        """Yield the figures that could be measured, in the order of the report."""
        limit, measure = self.database.limit, self.database.measure
        yield from self._compare("wall time" if measure == "wall" else "CPU time", limit, measure)
        yield from self._compare_speed("hand_written")
        names = "ours_custom_field", "hand_written_custom_field"
        if rows := self._find_rows(*names):
            ours, by_hand = (self._get(name, rows, "wall") for name in names)
            label = f"the same where one column has no SQL form, {rows:,} rows"
            yield Figure(label, f"{by_hand / ours:.1f} ×", "")
        yield from self._compare_speed("import_export")
        yield from self._compare("peak memory", "hand_written", "memory")
        yield from self._measure_growth()
        if answer := self._get_answer("statements"):
            label = f"statements beside the export's own in {answer['seconds']:.1f} s"
            yield Figure(label, "", str(answer["statements"]))
        if answer := self._get_answer("first_byte"):
            text = f"{answer['later_ms']:.0f} ms ({answer['first_ms']:.0f} ms in a new process)"
            yield Figure("first row in the temporary file after", "", text)
        if answer := self._get_answer("small_exports"):
            label = f"{answer['rows']} rows ÷ a hand-written loop that saves to the storage"
            yield Figure(label, "", f"{answer['ratio']:.2f} ({answer['ours_ms']:.1f} ms)")

    def _compare(self, label: str, other: str, measure: str) -> Iterator[Figure]:
        """Yield our part of what the other takes."""
        label = f"{label} ÷ that of {BY_NAME[other].label}"
        yield from self._divide(label, other, lambda ours, theirs: f"{ours / theirs:.2f}", measure)

    def _compare_speed(self, other: str) -> Iterator[Figure]:
        label = f"speed against {BY_NAME[other].label}"
        yield from self._divide(label, other, lambda ours, theirs: f"{theirs / ours:.1f} ×")

    def _divide(
        self, label: str, other: str, divide: Callable[[float, float], str], measure: str = "wall"
    ) -> Iterator[Figure]:
        ours = [name for name in OURS.values() if self._find_rows(name)]
        if ours and (rows := self._find_rows(other, *ours)):
            texts = {
                name: divide(self._get(name, rows, measure), self._get(other, rows, measure))
                for name in ours
            }
            values = {guard: texts.get(name, "") for guard, name in OURS.items()}
            yield Figure(f"{label}, {rows:,} rows", **values)

    def _measure_growth(self) -> Iterator[Figure]:
        """Yield how much more memory many rows take than few, which should be none."""
        sizes = self.results.sizes
        first, last = min(sizes), max(sizes)
        if first == last or not all(
            self.results.find(self.database.name, name, rows)
            for name in OURS.values()
            for rows in (first, last)
        ):
            return
        growths = [
            self._get(name, last, "memory") - self._get(name, first, "memory")
            for name in OURS.values()
        ]
        # Without a zero below zero.
        texts = [f"{round(growth / 1e6, 1) + 0.0:+.1f} MB" for growth in growths]
        yield Figure(f"peak memory at {last:,} rows − at {first:,}", *texts)

    def _get_answer(self, probe: str) -> dict | None:
        answer = self.answers.get(probe)
        return None if answer is None or "error" in answer else answer

    def _find_rows(self, *contenders: str) -> int | None:
        return self.results.find_common_rows(self.database.name, *contenders)

    def _get(self, contender: str, rows: int, measure: str) -> float:
        result = self.results.find(self.database.name, contender, rows)
        assert result is not None
        return result.get_median(measure)

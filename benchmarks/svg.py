"""Make the pieces of a plot: an axis, labels that keep apart, and marks as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

GREY = "#747c86"


@dataclass(frozen=True)
class Scale:
    """A logarithmic axis from low to high, over pixels from start to end."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        part = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + part * (self.end - self.start)


def choose_ticks(low: float, high: float) -> list[float]:
    """Return the powers of ten between the two, and if they are few what lies between them."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for factors in ([1], [1, 3], [1, 2, 5]):
        ticks = [
            factor * 10.0**exponent
            for exponent in exponents
            for factor in factors
            if low <= factor * 10.0**exponent <= high
        ]
        if len(ticks) > 2:
            break
    return ticks


def spread(wanted: Sequence[float], distance: float) -> list[float]:
    """Return the sorted places moved apart, each group around the middle of what it wanted."""
    groups: list[list[float]] = []
    for place in wanted:
        groups.append([place])
        while len(groups) > 1:
            end = _begin(groups[-2], distance) + len(groups[-2]) * distance
            if _begin(groups[-1], distance) >= end:
                break
            last = groups.pop()
            groups[-1] += last
    return [
        _begin(group, distance) + (number + 0.5) * distance
        for group in groups
        for number in range(len(group))
    ]


def _begin(group: Sequence[float], distance: float) -> float:
    return sum(group) / len(group) - len(group) * distance / 2


def draw_text(
    x: float,
    y: float,
    content: str,
    *,
    colour: str = GREY,
    anchor: str = "start",
    size: int = 12,
    weight: int = 400,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" '
        f'font-size="{size}" font-weight="{weight}" xml:space="preserve">{escape(content)}</text>'
    )


def draw_line(
    points: Sequence[tuple[float, float]],
    colour: str,
    *,
    width: float,
    opacity: float = 1,
    dashes: str = "",
) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}" '
        f'stroke-opacity="{opacity}" stroke-linejoin="round"{dashed}/>'
    )

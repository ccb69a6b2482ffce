"""Draw time and memory against rows as SVG, readable on white and on black."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from catalogue import BY_NAME, Contender
from databases import Database, get_databases
from results import Results
from svg import GREY, Scale, choose_ticks, draw_line, draw_text, spread

# Each has a contrast of at least 4 to 1 with white and with #0d1117.
COLOURS = {"ours": "#3576f0", "limit": "#228b45", "hand": "#c4570b", "peer": GREY}
FONT = "-apple-system, BlinkMacSystemFont, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif"
MARGIN, LEFT, LABELS = 8, 56, 224
WIDTH, HEIGHT, GAP = 232, 190, 74
PANEL = LEFT + WIDTH + LABELS
TOP = 84
LINE_HEIGHT = 15
# The other of our two lines would lie upon the first.
HIDDEN = {"ours_unguarded"}


@dataclass(frozen=True)
class Line:
    contender: Contender
    points: Sequence[tuple[int, float]]  # rows and value

    @property
    def colour(self) -> str:
        return COLOURS[self.contender.role]

    @property
    def is_ours(self) -> bool:
        return self.contender.role == "ours"


@dataclass(frozen=True)
class Measure:
    name: str
    title: str
    factor: float

    def format(self, value: float) -> str:
        if self.name == "wall":
            return f"{value:.3g} s" if value < 100 else f"{value:.0f} s"
        return f"{value:.0f} MB" if value < 1000 else f"{value / 1000:.3g} GB"


MEASURES = [Measure("wall", "wall time", 1), Measure("memory", "peak memory", 1e-6)]


def draw(results: Results) -> str:
    """Return a row of panels for each database."""
    databases = [
        database
        for database in get_databases(Path()).values()
        if any(result.runs for result in results.select(database.name))
    ]
    width = 2 * PANEL + 2 * MARGIN
    height = TOP + len(databases) * (HEIGHT + GAP) - GAP // 2
    body = []
    for row, database in enumerate(databases):
        for column, measure in enumerate(MEASURES):
            x, y = MARGIN + column * PANEL + LEFT, TOP + row * (HEIGHT + GAP)
            body += Panel(results, database, measure, x, y).draw()
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="{FONT}" font-size="12" role="img">',
            "<title>Time and memory of exports against their rows</title>",
            draw_text(MARGIN, 24, "12 columns to CSV, whole processes", size=15, weight=600),
            draw_text(MARGIN, 44, "Both axes are logarithmic; lower is better."),
            *body,
            "</svg>\n",
        ]
    )


class Panel:
    """One measure on one database."""

    def __init__(
        self, results: Results, database: Database, measure: Measure, x: float, y: float
    ) -> None:
        self.results = results
        self.database = database
        self.measure = measure
        self.x, self.y = x, y
        self.lines = list(self._find_lines())
        values = [value for line in self.lines for _, value in line.points]
        sizes = results.sizes
        pad = 1.15 if len(sizes) > 1 else 2
        self.across = Scale(min(sizes) / pad, max(sizes) * pad, x, x + WIDTH)
        self.up = Scale(min(values) / 1.6, max(values) * 1.6, y + HEIGHT, y)

    def draw(self) -> Iterator[str]:
        title = f"{self.database.label}: {self.measure.title}"
        yield draw_text(self.x - LEFT, self.y - 16, title, size=13, weight=600)
        yield from self._draw_grid()
        # Ours lies on top of the others.
        for line in sorted(self.lines, key=lambda line: line.is_ours):
            yield from self._draw_line(line)
        yield from self._draw_labels()

    def _find_lines(self) -> Iterator[Line]:
        for contender in BY_NAME.values():
            if contender.group != "plain" or contender.name in HIDDEN:
                continue
            points = [
                (rows, result.get_median(self.measure.name) * self.measure.factor)
                for rows in self.results.sizes
                if (result := self.results.find(self.database.name, contender.name, rows))
            ]
            if points:
                yield Line(contender, points)

    def _draw_grid(self) -> Iterator[str]:
        for value in choose_ticks(self.up.low, self.up.high):
            y = self.up.place(value)
            yield draw_line([(self.x, y), (self.x + WIDTH, y)], GREY, width=1, opacity=0.28)
            yield draw_text(self.x - 8, y + 4, self.measure.format(value), anchor="end")
        bottom = self.y + HEIGHT
        yield draw_line([(self.x, bottom), (self.x + WIDTH, bottom)], GREY, width=1)
        for rows in self.results.sizes:
            x = self.across.place(rows)
            yield draw_line([(x, bottom), (x, bottom + 5)], GREY, width=1)
            yield draw_text(x, bottom + 20, _format_rows(rows), anchor="middle")

    def _draw_line(self, line: Line) -> Iterator[str]:
        points = [self._place(point) for point in line.points]
        if len(points) > 1:
            dashes = "6 3" if line.contender.role == "limit" else ""
            yield draw_line(points, line.colour, width=3 if line.is_ours else 1.5, dashes=dashes)
        for x, y in points:
            radius = 4 if line.is_ours else 2.5
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{line.colour}"/>'

    def _draw_labels(self) -> Iterator[str]:
        """Write each name beside the end of its line, one below the other."""
        lines = sorted(self.lines, key=lambda line: self._place(line.points[-1])[1])
        wanted = [self._place(line.points[-1])[1] for line in lines]
        x = self.x + WIDTH + 16
        for line, y in zip(lines, spread(wanted, LINE_HEIGHT), strict=True):
            rows, value = line.points[-1]
            end_x, end_y = self._place((rows, value))
            is_short = rows < max(self.results.sizes)
            # Dotted, since there it is no measurement.
            dashes = "1 4" if is_short else ""
            leader = [(end_x + 5, end_y), (x - 4, y)]
            yield draw_line(leader, line.colour, width=0.8, opacity=0.7, dashes=dashes)
            where = f" at {_format_rows(rows)}" if is_short else ""
            text = f"{line.contender.label}  {self.measure.format(value)}{where}"
            weight = 700 if line.is_ours else 400
            yield draw_text(x, y + 4, text, colour=line.colour, weight=weight)

    def _place(self, point: tuple[int, float]) -> tuple[float, float]:
        return self.across.place(point[0]), self.up.place(point[1])


def _format_rows(rows: int) -> str:
    return f"{rows / 1e6:g}M" if rows >= 1_000_000 else f"{rows / 1000:g}k"

"""Write the report of the last run; as a script, to the docs: python report.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from catalogue import BY_NAME, Contender
from databases import Database, get_databases
from figures import Figures
from plot import draw
from results import Result, Results

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def write_report(results: Results, folder: Path) -> None:
    (folder / "report.md").write_text(
        "# Benchmarks\n\n![](report.svg)\n\n" + format_tables(results)
    )
    (folder / "report.svg").write_text(draw(results))


def write_docs(results: Results, docs: Path) -> None:
    """Replace what is between the markers of the page, and the plot beside it."""
    page = docs / "benchmarks.md"
    plot, tables = format_plot("benchmarks.svg"), format_tables(results)
    measured = f"{BEGIN}\n\n{plot}\n\n{tables}\n{END}"
    pattern = f"{re.escape(BEGIN)}.*{re.escape(END)}"
    page.write_text(re.sub(pattern, lambda _: measured, page.read_text(), flags=re.DOTALL))
    (docs / "benchmarks.svg").write_text(draw(results))


def format_plot(path: str) -> str:
    return f"![Wall time and peak memory against rows, on each database]({path})"


def format_tables(results: Results) -> str:
    databases = get_databases(Path()).values()
    blocks = [_describe(results)]
    for database in databases:
        if database.name in results.servers:
            blocks += _format_figures(results, database)
            for rows in reversed(results.sizes):
                blocks += _format_size(results, database, rows)
    return "\n\n".join(blocks) + "\n"


def _describe(results: Results) -> str:
    facts = results.facts
    rounds = f"medians of {results.rounds} rounds" if results.rounds > 1 else "one round"
    servers = "; ".join(results.servers.values())
    text = (
        f"{facts['date']}, {facts['machine']}, {facts.get('python', '')}. {servers}. All {rounds}."
    )
    skipped = "".join(f"\n\nSkipped, as it does not answer: {name}." for name in results.skipped)
    return text[0].upper() + text[1:] + skipped


def _format_figures(results: Results, database: Database) -> Iterator[str]:
    figures = list(Figures(results, database).list())
    yield f"## {database.label}"
    if figures:
        lines = ["| django-infra | formula guard off | on, the default |", "| --- | ---: | ---: |"]
        lines += [f"| {figure.label} | {figure.off} | {figure.on} |" for figure in figures]
        yield "\n".join(lines)


def _format_size(results: Results, database: Database, rows: int) -> Iterator[str]:
    found = list(results.select(database.name, rows))
    groups = dict.fromkeys(BY_NAME[result.contender].group for result in found)
    for group in groups:
        selected = [result for result in found if BY_NAME[result.contender].group == group]
        title = f"### {database.label}, {rows:,} rows"
        yield title if group == "plain" else f"{title}, with a {group}"
        yield "\n".join(_format_rows(results, database, selected))


def _format_rows(results: Results, database: Database, found: list[Result]) -> Iterator[str]:
    by_name = {result.contender: result for result in found}
    limit = by_name.get(database.limit)
    limit = limit if limit and limit.runs else None
    measure = database.measure
    name = "CPU" if measure == "cpu" else measure
    ratio = f" × {BY_NAME[database.limit].label}, {name} |" if limit else ""
    yield f"| | wall, s | CPU, s | peak, MB |{ratio} |"
    yield "| --- | ---: | ---: | ---: |" + (" ---: |" if limit else "") + " --- |"
    for result in found:
        contender = BY_NAME[result.contender]
        cells = [f"**{contender.label}**" if contender.role == "ours" else contender.label]
        if result.runs:
            cells += [
                f"{result.get_median('wall'):.2f}",
                f"{result.get_median('cpu'):.2f}",
                f"{result.get_median('memory') / 1e6:.0f}",
            ]
            if limit:
                cells.append(f"{result.get_median(measure) / limit.get_median(measure):.2f}")
        else:
            cells += [""] * (4 if limit else 3)
        yield f"| {' | '.join(cells)} | {_remark(results, result, contender)} |"


def _remark(results: Results, result: Result, contender: Contender) -> str:
    """Say what is different from what hand-written code writes, and what is missing."""
    remarks = []
    if result.database in contender.holds_rows_on:
        remarks.append("all rows in memory")
    if difference := results.differences.get(result.database, {}).get(result.contender):
        remarks.append(difference)
    if result.absence:
        remarks.append(result.absence)
    elif len(result.runs) < results.rounds:
        remarks.append("1 round" if len(result.runs) == 1 else f"{len(result.runs)} rounds")
    return "; ".join(remarks)


if __name__ == "__main__":
    write_docs(Results.load(ROOT / ".bench" / "results.json"), ROOT / "docs")

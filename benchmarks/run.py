"""Measure all contenders on every database that answers, and write the report.

.bench/ gets report.md, report.svg and results.json; with --docs, docs/benchmarks.md and .svg too.
POSTGRES_URL and MYSQL_URL say where the servers are.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import date
from pathlib import Path

from catalogue import BY_NAME
from children import NOT_FOUND, Failure
from databases import get_databases
from report import write_docs, write_report
from results import Results
from running import DatabaseBench, Plan, find_faults

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    arguments = read_arguments()
    folder = arguments.folder.resolve()
    (folder / "files").mkdir(parents=True, exist_ok=True)
    plan = Plan(
        sizes=sorted(set(arguments.rows)),
        rounds=arguments.rounds,
        contenders=arguments.contender,
        is_slow=arguments.slow,
        folder=folder,
    )
    results = Results(facts=describe_machine(), sizes=list(plan.sizes), rounds=plan.rounds)
    databases = get_databases(folder)
    for name in arguments.database or databases:
        try:
            DatabaseBench(databases[name], plan, results).run()
        except Failure as failure:
            if failure.code != NOT_FOUND:
                raise
            results.skipped[name] = str(failure)
            print(f"{name}: not found. {failure}")
        results.save(folder / "results.json")
    write_report(results, folder)
    if arguments.docs:
        write_docs(results, ROOT / "docs")
    print(f"\nThe report is in {os.path.relpath(folder)}/report.md.")
    faults = find_faults(results)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = list(get_databases(Path()))
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--database", choices=names, action="append")
    parser.add_argument("--contender", choices=list(BY_NAME), action="append", default=[])
    parser.add_argument("--slow", action="store_true", help="leave nothing out")
    parser.add_argument("--docs", action="store_true", help="write the docs too")
    parser.add_argument("--folder", type=Path, default=ROOT / ".bench")
    return parser.parse_args()


def describe_machine() -> dict[str, str]:
    cores = os.cpu_count()
    return {"date": str(date.today()), "machine": f"{cores} cores, {describe_memory()}"}


def describe_memory() -> str:
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{size / 2**30:.0f} GiB of memory"


if __name__ == "__main__":
    sys.exit(main())

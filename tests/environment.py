"""Print what a virtual environment with these dependency groups is made of.

make compares it with what the environment was made of, so that a comment costs nothing.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(groups: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    contents = {
        "python": sys.version,
        "project": project["project"],
        "build": [project["build-system"], project["tool"]["hatch"]],
        "groups": {group: resolve(project["dependency-groups"], group) for group in groups},
        "constraints": [line for line in constraints if not line.startswith("#")],
    }
    json.dump(contents, sys.stdout, indent=1)


def resolve(groups: dict, name: str) -> list[str]:
    """Return the requirements of the group and of those that it includes."""
    requirements = []
    for entry in groups[name]:
        requirements += resolve(groups, entry["include-group"]) if is_group(entry) else [entry]
    return sorted(requirements)


def is_group(entry: str | dict) -> bool:
    return not isinstance(entry, str)


if __name__ == "__main__":
    main(sys.argv[1:])

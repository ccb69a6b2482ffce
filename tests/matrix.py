"""Run the quick tests and the contract on each supported pair of Python and Django that is here.

Arguments choose pairs, such as 3.13-django61; without any, all are run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAIRS = [
    "3.11-django52",
    "3.12-django52",
    "3.12-django60",
    "3.12-django61",
    "3.13-django52",
    "3.13-django60",
    "3.13-django61",
    "3.14-django52",
    "3.14-django60",
    "3.14-django61",
]


def main(chosen: list[str]) -> int:
    sys.stdout.reconfigure(line_buffering=True)
    if unknown := set(chosen) - set(PAIRS):
        print(f"Unknown: {', '.join(sorted(unknown))}. Choose from {', '.join(PAIRS)}.")
        return 2
    outcomes = {}
    for pair in chosen or PAIRS:
        print(f"\n{pair}")
        outcomes[pair] = run_pair(pair)
    print()
    for pair, outcome in outcomes.items():
        print(f"{pair}: {outcome}")
    is_required = chosen or os.environ.get("REQUIRE_SERVICES") == "1"
    bad = ("failed", "skipped") if is_required else ("failed",)
    return 1 if any(outcome.startswith(bad) for outcome in outcomes.values()) else 0


def run_pair(pair: str) -> str:
    """Run the tests in the pair's virtual environment, and return how that went."""
    version = pair.partition("-")[0]
    python = find_python(version)
    if python is None:
        return f"skipped, Python {version} is not installed"
    folder = f".venv/matrix-{pair}"
    if not run(os.environ.get("MAKE", "make"), f"{folder}/ready", f"PYTHON={python}"):
        return "failed, its packages cannot be installed"
    python = f"{folder}/bin/python"
    databases = os.environ.get("DATABASES", "postgresql mysql")
    passed = run(python, "tests/run.py", "check") and run(
        "env", f"DATABASES={databases}", python, "tests/run.py", "contract"
    )
    return "passed" if passed else "failed"


def find_python(version: str) -> str | None:
    """Return a Python of this version, from the PATH or among those that pyenv installed."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    installed = sorted(pyenv.glob(f"versions/{version}.*/bin/python"))
    candidates = [f"python{version}", *map(str, installed)]
    return next((python for python in candidates if is_usable(python)), None)


def is_usable(python: str) -> bool:
    """Tell whether the program runs; pyenv puts stubs on the PATH for Pythons that are off."""
    try:
        return subprocess.run([python, "--version"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def run(*command: str) -> bool:
    return subprocess.run(command, cwd=ROOT).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

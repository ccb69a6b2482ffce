"""The spreadsheet that opens files as people do."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

NAMES = ("soffice", "libreoffice")
TIMEOUT = 110  # seconds: the first start makes a profile
EVALUATE = ",34,76,1,,0,false,true,false,false,false,0,true"  # quotes, UTF-8, and run formulas


class SpreadsheetNotFound(Exception):
    """LibreOffice is not on the PATH, or it does not start."""


def find_spreadsheet():
    for name in NAMES:
        if path := shutil.which(name):
            return path
    raise SpreadsheetNotFound(f"None of {', '.join(NAMES)} is on the PATH.")


def read_version():
    """Ask LibreOffice for its version, or raise what says why there is none."""
    path = find_spreadsheet()
    result = subprocess.run([path, "--version"], capture_output=True, text=True)
    if result.returncode != 0:
        raise SpreadsheetNotFound(f"{path} does not start: {result.stderr.strip()}")
    return result.stdout.strip()


def need_spreadsheet():
    """Return the path, or skip the test, or fail it where that must not be."""
    outcome = pytest.fail if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip
    try:
        return find_spreadsheet()
    except SpreadsheetNotFound as error:
        outcome(f"No spreadsheet: {error}")


def open_text(paths, folder, *, separators):
    """Open files with lines divided at the separators; return the paths of XML with the cells."""
    codes = "/".join(str(ord(separator)) for separator in separators)
    command = [
        need_spreadsheet(),
        f"-env:UserInstallation={(folder / 'profile').as_uri()}",
        "--headless",
        "--convert-to",
        "fods",
        "--outdir",
        str(folder),
        f"--infilter=Text - txt - csv (StarCalc):{codes}{EVALUATE}",
        *map(str, paths),
    ]
    subprocess.run(command, capture_output=True, check=True, timeout=TIMEOUT)
    return [folder / path.with_suffix(".fods").name for path in paths]

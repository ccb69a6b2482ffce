"""The browser that pages are tested in."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

TIMEOUT = 30  # seconds
NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class BrowserNotFound(Exception):
    """No browser is on the PATH, or it does not start."""


def find_browser():
    """Return the path of the browser: that of the environment variable CHROMIUM, or on the PATH."""
    for name in [os.environ["CHROMIUM"]] if "CHROMIUM" in os.environ else NAMES:
        if path := shutil.which(name):
            return path
    raise BrowserNotFound(f"None of {', '.join(NAMES)} is on the PATH.")


def read_version():
    """Ask the browser for its version, or raise what says why there is none."""
    path = find_browser()
    result = subprocess.run([path, "--version"], capture_output=True, text=True)
    if result.returncode != 0:
        raise BrowserNotFound(f"{path} does not start: {result.stderr.strip()}")
    return result.stdout.strip()


def need_browser():
    """Return the path, or skip the test, or fail it where that must not be."""
    outcome = pytest.fail if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip
    try:
        import playwright  # noqa: F401

        return find_browser()
    except (BrowserNotFound, ImportError) as error:
        outcome(f"No browser: {error}")

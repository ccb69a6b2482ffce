from __future__ import annotations

import pytest

from corpora import read_naughty_strings


@pytest.fixture(scope="session")
def naughty_strings():
    """Give the strings of a corpus that have broken other programs."""
    return read_naughty_strings()

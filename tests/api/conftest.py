from __future__ import annotations

import json
from pathlib import Path

import pytest

CORPUS = Path(__file__).parents[3] / "shared/corpora/blns/blns.json"


@pytest.fixture(scope="session")
def naughty_strings():
    """Give the strings of a corpus that have broken other programs."""
    if not CORPUS.exists():
        pytest.skip(f"{CORPUS} is not there")
    return json.loads(CORPUS.read_text())

from __future__ import annotations

import random

import pytest

from corpora import read_naughty_strings


@pytest.fixture
def naughty_strings(sampling):
    """Give strings of a corpus that have broken other programs: 100, or all in a thorough run."""
    strings = read_naughty_strings()
    count, seed = sampling(100).values()
    return strings if count is None else random.Random(seed).sample(strings, count)

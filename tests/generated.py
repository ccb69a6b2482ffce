"""Hypothesis, with as many examples as the level of the run asks for.

Import it from here, so that the profile is set. A conftest.py does not set it, since importing
Hypothesis would make every start half a second slower.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

__all__ = ["example", "given", "settings", "st"]

EXAMPLES = {"check": 8, "test": 15, "thorough": 500}

settings.register_profile(
    "run",
    deadline=None,
    max_examples=EXAMPLES[os.environ["EXPORTER_TEST_LEVEL"]],
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("run")

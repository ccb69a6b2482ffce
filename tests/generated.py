"""Hypothesis, with as many examples as the level of the run asks for.

Modules take it from here and not from its package, which costs each start half a second.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

__all__ = ["example", "given", "settings", "st"]

EXAMPLES = {"check": 10, "test": 25, "thorough": 500}

settings.register_profile(
    "run",
    deadline=None,
    max_examples=EXAMPLES[os.environ["EXPORTER_TEST_LEVEL"]],
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("run")

"""Check the limits of an export, which it has by itself or by a setting."""

from __future__ import annotations

from datetime import timedelta

MAX_PERIOD = timedelta(days=36_525)  # a century, so that what it leads to is still a date


def find_limit_fault(name: str, value: object) -> str | None:
    """Return what is wrong with a limit, if anything is; None is no limit."""
    if value is None:
        return None
    if name.lower().endswith(("expires_in", "delete_rows_after")):
        is_valid = isinstance(value, timedelta) and timedelta(0) <= value <= MAX_PERIOD
        kind = "a timedelta that is not negative, of a century at most,"
    else:
        # A bool is an int too, and no limit.
        is_valid = type(value) is int and value > 0
        kind = "a positive integer"
    return None if is_valid else f"{name} is {value!r}, but must be {kind} or None"

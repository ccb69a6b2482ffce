"""Sign links that let whoever has one download a file for a while."""

from __future__ import annotations

import time
from datetime import timedelta

from django.core import signing

from django_infra.exporter.exceptions import InvalidLimit
from django_infra.exporter.limits import MAX_PERIOD

SALT = "django_infra.exporter.models.links"


def sign(export_id: str, *, expires: timedelta | float) -> str:
    """Return what ``read()`` takes until ``expires``, a timedelta or seconds, is over."""
    # A bool is an int too, and says nothing of a time.
    is_number = isinstance(expires, int | float) and not isinstance(expires, bool)
    if not (is_number or isinstance(expires, timedelta)):
        raise InvalidLimit(f"expires is {expires!r}, but must be a timedelta or seconds.")
    seconds = expires.total_seconds() if isinstance(expires, timedelta) else expires
    if not 0 < seconds <= MAX_PERIOD.total_seconds():
        raise InvalidLimit(f"expires is {expires!r}, but must be positive, and a century at most.")
    # The end is a part of what is signed, so that each link has a life of its own.
    return signing.dumps([export_id, time.time() + seconds], salt=SALT)


def read(token: str) -> str | None:
    """Return the id in the token, unless it is forged or its time is over."""
    try:
        export_id, end = signing.loads(token, salt=SALT)
    except signing.BadSignature:
        return None
    return export_id if time.time() < end else None

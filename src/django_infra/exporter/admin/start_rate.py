"""Hold the starts of the admin to the rate of the API."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from django_infra.exporter.exceptions import StartsThrottled


def check_start_rate(request: HttpRequest) -> None:
    """Count the start of an export; raise StartsThrottled beyond the rate."""
    # A project without the API need not load REST framework until somebody starts an export.
    from django_infra.exporter.rest.throttling import StartThrottle

    # It takes REST framework's request and view, of which it needs what Django's request has too.
    throttle: Any = StartThrottle()
    if not throttle.allow_request(request, None):
        raise StartsThrottled(
            f"{request.user.get_username()!r} starts exports more often than the rate of "
            f"{throttle.scope!r} in DEFAULT_THROTTLE_RATES allows, {throttle.get_rate()!r}.",
            wait=throttle.wait(),
        )

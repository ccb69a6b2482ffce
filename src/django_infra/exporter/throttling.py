from __future__ import annotations

from typing import Any, cast

from rest_framework.settings import api_settings
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView

from django_infra.exporter.exceptions import StartsThrottled


def check_start_rate(request: Any) -> None:
    """Count the start of an export outside of the API; raise StartsThrottled beyond the rate."""
    throttle = StartThrottle()
    if not throttle.allow_request(request, cast(APIView, None)):
        raise StartsThrottled(
            f"{request.user.get_username()!r} starts exports more often than the rate of "
            f"{throttle.scope!r} in DEFAULT_THROTTLE_RATES allows, {throttle.get_rate()!r}.",
            wait=throttle.wait(),
        )


class StartThrottle(UserRateThrottle):
    """Limit how often a user starts exports, where the project gives the scope a rate."""

    scope = "exporter-start"

    def get_rate(self) -> str | None:
        # Not THROTTLE_RATES, which REST framework reads at its import.
        rates: Any = api_settings.DEFAULT_THROTTLE_RATES
        rate: str | None = rates.get(self.scope)
        return rate

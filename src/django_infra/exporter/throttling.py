from __future__ import annotations

from typing import Any

from rest_framework.settings import api_settings
from rest_framework.throttling import UserRateThrottle


class StartThrottle(UserRateThrottle):
    """Limit how often a user starts exports, where the project gives the scope a rate."""

    scope = "exporter-start"

    def get_rate(self) -> str | None:
        # Not THROTTLE_RATES, which REST framework reads at its import.
        rates: Any = api_settings.DEFAULT_THROTTLE_RATES
        rate: str | None = rates.get(self.scope)
        return rate

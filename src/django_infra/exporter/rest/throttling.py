"""Limit how often a user starts exports."""

from __future__ import annotations

from typing import cast

from rest_framework.settings import api_settings
from rest_framework.throttling import UserRateThrottle


class StartThrottle(UserRateThrottle):
    """Limit how often a user starts exports, where the project gives the scope a rate."""

    scope = "exporter-start"

    def get_rate(self) -> str | None:
        # Not THROTTLE_RATES, which REST framework reads at its import.
        return cast("str | None", api_settings.DEFAULT_THROTTLE_RATES.get(self.scope))

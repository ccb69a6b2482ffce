"""Choose how a response is written where ``?format=`` may name a format of exports."""

from __future__ import annotations

from collections.abc import Iterable

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer

from django_infra.exporter.writers import get_formats


class FormatNegotiation(DefaultContentNegotiation):
    """Let ``?format=`` choose a renderer, as REST framework does, unless it names what filters."""

    def filter_renderers(
        self, renderers: Iterable[BaseRenderer], format: str
    ) -> list[BaseRenderer]:
        found = [renderer for renderer in renderers if renderer.format == format]
        return list(renderers) if format in get_formats() or not found else found

"""Give ``export_queryset`` its short name, which other apps may have too."""

from __future__ import annotations

from django_infra.exporter.management.commands.export_queryset import Command

__all__ = ["Command"]

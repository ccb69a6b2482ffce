"""Keep the rows of exports, and of what they have left in the storage."""

from __future__ import annotations

from django_infra.exporter.models.leftover import Leftover
from django_infra.exporter.models.query_export import DataPath, ExportState, QueryExport

__all__ = ["DataPath", "ExportState", "Leftover", "QueryExport"]

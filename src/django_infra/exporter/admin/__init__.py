from __future__ import annotations

from django_infra.exporter.admin.query_exports import QueryExportAdmin

__all__ = ["QueryExportAdmin"]

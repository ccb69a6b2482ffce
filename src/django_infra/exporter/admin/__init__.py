"""Show exports in Django's admin, and export what any other change list shows."""

from __future__ import annotations

from django_infra.exporter.admin.change_list_exports import export_selected
from django_infra.exporter.admin.query_exports import QueryExportAdmin

__all__ = ["QueryExportAdmin", "export_selected"]

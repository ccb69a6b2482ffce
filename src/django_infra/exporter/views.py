"""Name the view of the API for a project's own router."""

from __future__ import annotations

from django_infra.exporter.rest.views import QueryExportViewSet

__all__ = ["QueryExportViewSet"]

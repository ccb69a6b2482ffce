from __future__ import annotations

from django.db.models import QuerySet
from rest_framework import permissions, viewsets

from django_infra.api.filters import FilterBackend
from django_infra.api.pagination import BoundedPagination
from django_infra.exporter.filters import QueryExportFilterSet
from django_infra.exporter.models import QueryExport
from django_infra.exporter.serializers import QueryExportSerializer


class QueryExportViewSet(viewsets.ReadOnlyModelViewSet[QueryExport]):
    """List and retrieve one's own exports; staff who may view exports see all of them."""

    serializer_class = QueryExportSerializer
    lookup_value_regex = r"[\w-]+"  # PostgreSQL answers a NUL with an error
    permission_classes = (permissions.IsAuthenticated,)
    filter_backends = (FilterBackend,)
    filterset_class = QueryExportFilterSet
    pagination_class = BoundedPagination

    def get_queryset(self) -> QuerySet[QueryExport]:
        return QueryExport.objects.visible_to(self.request.user)

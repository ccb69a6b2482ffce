from __future__ import annotations

from django_filters import rest_framework as filters

from django_infra.exporter.models import ExportState, QueryExport


class QueryExportFilterSet(filters.FilterSet):
    state = filters.MultipleChoiceFilter(choices=ExportState.choices)

    class Meta:
        model = QueryExport
        fields = ["state"]

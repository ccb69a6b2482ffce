from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers

from django_infra.exporter.models import QueryExport


class MetadataSerializer(serializers.Serializer[QueryExport]):
    start_time = serializers.DateTimeField(read_only=True)
    job_time = serializers.DurationField(read_only=True)
    file_size = serializers.IntegerField(read_only=True)
    row_count = serializers.IntegerField(read_only=True)
    progress_percent = serializers.IntegerField(read_only=True)
    error_log = serializers.SerializerMethodField()

    def get_error_log(self, export: QueryExport) -> str:
        """Return the whole text for staff; it may quote SQL, paths and data."""
        user: Any = self.context["request"].user
        if not export.error_log or getattr(user, "is_staff", False):
            return export.error_log
        return _("The export failed.")


class QueryExportSerializer(serializers.ModelSerializer[QueryExport]):
    metadata = MetadataSerializer(source="*", read_only=True)

    class Meta:
        model = QueryExport
        fields = ["id", "state", "format", "created_at", "finished_at", "metadata"]
        read_only_fields = fields

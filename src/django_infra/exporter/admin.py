from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Model
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from django_infra.exporter.models import QueryExport


@admin.register(QueryExport)
class QueryExportAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # no generic at run time
    """What exports did, to look at: a row is written by its export alone."""

    list_display = (
        "id",
        "state",
        "progress_percent",
        "row_count",
        "size",
        "created_by",
        "start_time",
        "job_time",
    )
    list_filter = ("state", "format", "model_label", "created_at")
    list_select_related = ("created_by",)
    show_full_result_count = False
    fieldsets = (
        (None, {"fields": ("id", "state", "progress_percent", "error_log")}),
        (_("File"), {"fields": ("stored_file", "size", "row_count", "format", "file_path")}),
        (_("Origin"), {"fields": ("model_label", "created_by")}),
        (_("Times"), {"fields": ("created_at", "start_time", "finished_at", "job_time")}),
    )

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return ("id", "file_path", f"created_by__{get_user_model().USERNAME_FIELD}")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(description=_("size"), ordering="file_size")
    def size(self, export: QueryExport) -> str | None:
        return None if export.file_size is None else filesizeformat(export.file_size)

    @admin.display(description=_("file"))
    def stored_file(self, export: QueryExport) -> Any:
        """Link to the file, where its storage serves it."""
        if not export.file:
            return None
        try:
            url = export.file.url
        except Exception:  # Not served, not configured any more, or out of reach.
            return export.file.name
        return format_html('<a href="{}">{}</a>', url, export.file.name)

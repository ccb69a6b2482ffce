from __future__ import annotations

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Model
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext_lazy as _

from django_infra.exporter.models import QueryExport


@admin.register(QueryExport)
class QueryExportAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # no generic at run time
    """What exports did, to look at and to delete: a row is written by its export alone."""

    list_display = (
        "id",
        "name",
        "state",
        "progress_percent",
        "row_count",
        "size",
        "created_by",
        "start_time",
    )
    list_filter = ("state", "format", "name", "model_label", "created_at")
    list_select_related = ("created_by",)
    show_full_result_count = False
    fieldsets = (
        (
            None,
            {"fields": ("id", "state", "progress_percent", "error_log", "attempt", "failures")},
        ),
        (
            _("File"),
            {
                "fields": (
                    "stored_file",
                    "size",
                    "row_count",
                    "format",
                    "storage_alias",
                    "data_path",
                )
            },
        ),
        (
            _("Request"),
            {"fields": ("name", "params", "model_label", "file_path", "created_by")},
        ),
        (
            _("Times"),
            {
                "fields": (
                    "created_at",
                    "start_time",
                    "heartbeat_at",
                    "finished_at",
                    "job_time",
                    "expires_at",
                    "file_deleted_at",
                )
            },
        ),
    )

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return ("id", "file_path", f"created_by__{get_user_model().USERNAME_FIELD}")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(description=_("size"), ordering="file_size")
    def size(self, export: QueryExport) -> str:
        if export.file_size is None:
            return self.get_empty_value_display()
        return filesizeformat(export.file_size)

    @admin.display(description=_("file"))
    def stored_file(self, export: QueryExport) -> str:
        """Name the file; a link would lead nowhere where no URL serves the storage."""
        return export.file.name or self.get_empty_value_display()

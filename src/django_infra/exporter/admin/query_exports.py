"""Put together the admin of exports: its list, its page of one, and who sees what there."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from django_infra.exporter.access import get_rights
from django_infra.exporter.admin import change_list_exports, named_exports, search
from django_infra.exporter.admin.actions import (
    cancel_selected,
    delete_selected,
    run_selected_again,
)
from django_infra.exporter.admin.breadcrumbs import trace
from django_infra.exporter.admin.change_list import ExportChangeList
from django_infra.exporter.admin.change_list_facts import list_change_list_facts
from django_infra.exporter.admin.displays import (
    ExportColumns,
    ExportFacts,
    drop_empty,
    show_badge,
    show_bar,
)
from django_infra.exporter.admin.facts import get_title, is_cancelled
from django_infra.exporter.admin.filters import (
    OWNER,
    FormatFilter,
    NameFilter,
    OwnerFilter,
    StuckFilter,
    can_find_owners,
    make_owner_form,
)
from django_infra.exporter.admin.pages import ExportPages
from django_infra.exporter.admin.timeline import list_failures, list_steps
from django_infra.exporter.models import ExportState, QueryExport
from django_infra.exporter.models.query_export import QueryExportQuerySet, may_view_all


@admin.register(QueryExport)
class QueryExportAdmin(ExportColumns, ExportFacts, ExportPages):
    """What exports did and do, to look at: a row is written by its export alone."""

    list_display = (
        "title",
        "badge",
        "progress",
        "download",
        "rows",
        "size",
        "duration",
        "rate",
        OWNER,
        "start",
        "id",
    )
    list_display_links = ("title", "id")
    list_filter = ("state", FormatFilter, NameFilter, OwnerFilter, StuckFilter)
    date_hierarchy = "created_at"
    show_full_result_count = False
    list_per_page = 50
    actions = (cancel_selected, run_selected_again, delete_selected)
    fieldsets = (
        (
            _("File"),
            {
                "fields": (
                    "stored_file",
                    ("rows", "size"),
                    ("duration", "rate"),
                    ("format", "storage_alias"),
                    "sha256",
                    "way_of_data",
                )
            },
        ),
        (
            _("Request"),
            {
                "fields": (
                    "id",
                    "named_export",
                    "exported_model",
                    "file_path",
                    OWNER,
                    ("language", "time_zone"),
                    "parameter_table",
                    "column_table",
                )
            },
        ),
    )

    class Media:
        css = {"all": ["exporter/admin.css"]}
        js = ["exporter/admin.js"]

    def get_urls(self) -> list[URLPattern]:
        own = [*change_list_exports.get_urls(self), *named_exports.get_urls(self)]
        return [*own, *super().get_urls()]

    def get_fieldsets(self, request: HttpRequest, obj: QueryExport | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        has_failed = obj is not None and obj.state == ExportState.FAIL
        # Of a failed export most facts are unknown; one that goes on learns them still.
        return drop_empty(self, obj, fieldsets) if has_failed else fieldsets

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return search.get_fields()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[QueryExport], search_term: str
    ) -> tuple[QueryExportQuerySet, bool]:
        if search.is_too_long(search_term):
            limits = {"words": search.MAX_WORDS, "characters": search.MAX_LENGTH}
            text = _("Search for at most %(words)s words and %(characters)s characters.")
            self.message_user(request, text % limits, messages.ERROR)
        return search.find(cast(QueryExportQuerySet, queryset), search_term), False

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        is_alone = not may_view_all(request.user)
        return [name for name in self.list_display if not (is_alone and name == OWNER)]

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        is_hidden = not self._offers_owners(request)
        return [each for each in self.list_filter if not (is_hidden and each is OwnerFilter)]

    def get_list_select_related(self, request: HttpRequest) -> tuple[str, ...] | bool:
        return (OWNER,) if may_view_all(request.user) else False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ExportChangeList

    def get_queryset(self, request: HttpRequest) -> QueryExportQuerySet:
        rows = cast(QueryExportQuerySet, super().get_queryset(request))
        return rows.visible_to(request.user)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        context: dict[str, Any] = getattr(response, "context_data", None) or {}
        # An action may answer with a page of its own.
        if "cl" in context:
            get_rights(request).mark(context["cl"].result_list)
        if "cl" in context and self._offers_owners(request):
            context["media"] += make_owner_form(self.admin_site)().media
        return response

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        export = context["original"]
        # An export's text tells its state of when the page was loaded, and its id stays true.
        names = {"subtitle": export.pk, **trace(self.admin_site, self.opts, (export.pk, None))}
        facts = {**names, **self.describe(request, export)}
        return super().render_change_form(request, {**context, **facts}, *args, **kwargs)

    def describe(self, request: HttpRequest, export: QueryExport) -> dict[str, object]:
        """Return what the page of an export shows beside its fields."""
        may_download = get_rights(request).may_download(export)
        return {
            "may_download": export.is_downloadable and may_download,
            "export_title": capfirst(get_title(export)),
            "badge": show_badge(export),
            "bar": show_bar(export),
            "steps": list_steps(export),
            "is_cancelled": is_cancelled(export),
            "failures": list_failures(export, is_public=not request.user.is_staff),
            "change_list_facts": list_change_list_facts(request, export),
            "may_cancel": self.has_cancel_permission(request, export),
            "may_run_again": self.has_run_again_permission(request, export),
            "may_delete": self.has_delete_permission(request, export),
        }

    def _offers_owners(self, request: HttpRequest) -> bool:
        return may_view_all(request.user) and can_find_owners(self.admin_site, request)

"""Answer what a page of Django's admin does not: news, downloads, cancelling, running again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.contrib import messages
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST, require_safe

from django_infra.exporter.access import get_rights
from django_infra.exporter.admin.actions import cancel, run_again
from django_infra.exporter.admin.change_list import defer_large
from django_infra.exporter.admin.displays import make_news
from django_infra.exporter.admin.outcomes import tell
from django_infra.exporter.admin.rights import ExportRights, may_view_now
from django_infra.exporter.downloads import Refusal, send_file
from django_infra.exporter.jobs.worker import EXPORT_ID
from django_infra.exporter.models import QueryExport
from django_infra.exporter.models.query_export import QueryExportQuerySet

MAX_WATCHED = 200

View = Callable[..., HttpResponseBase]


def run_without_transaction(view: View) -> View:
    """Keep what is written when the answer is an error, and have it there when a job begins.

    It is for projects with ATOMIC_REQUESTS.
    """
    for alias in connections:
        view = transaction.non_atomic_requests(alias)(view)
    return view


class ExportPages(ExportRights):
    def get_urls(self) -> list[URLPattern]:
        urls = super().get_urls()
        for url in urls:
            # The actions of the list start and cancel too.
            if str(url.name).endswith("_changelist"):
                url.callback = run_without_transaction(url.callback)
        # They come before Django's own, of which the last takes any path.
        return [
            self._route("progress/", self.progress_view, "progress"),
            self._route("<str:object_id>/download/", self.download_view, "download"),
            self._route("<str:object_id>/cancel/", self.cancel_view, "cancel"),
            self._route("<str:object_id>/run-again/", self.run_again_view, "run_again"),
            *urls,
        ]

    def _route(self, route: str, view: View, name: str) -> URLPattern:
        view = run_without_transaction(self.admin_site.admin_view(view))
        return path(route, view, name=f"exporter_queryexport_{name}")

    def get_link(self, name: str, *args: object) -> str:
        """Return the URL of a page of exports on this admin site."""
        full_name = f"admin:exporter_queryexport_{name}"
        return reverse(full_name, args=args, current_app=self.admin_site.name)

    def get_download_url(self, export: QueryExport) -> str:
        return self.get_link("download", quote(export.pk))

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> QueryExport | None:
        # PostgreSQL answers a NUL with an error, which would be one of the server's.
        if not EXPORT_ID.fullmatch(str(object_id)):
            return None
        return super().get_object(request, object_id, from_field)

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        """Lead to the list, which Django does for those who may change; else to the index."""
        response = super().response_delete(request, obj_display, obj_id)
        # Who has deleted the only own export may see none.
        if not isinstance(response, HttpResponseRedirect) or not may_view_now(request):
            return response
        filters = self.get_preserved_filters(request)
        context: Any = {"preserved_filters": filters, "opts": self.opts}
        return HttpResponseRedirect(add_preserved_filters(context, self.get_link("changelist")))

    @method_decorator(require_safe)
    def progress_view(self, request: HttpRequest) -> HttpResponseBase:
        """Answer with what is new of the exports whose ids are asked for."""
        asked = [id for id in request.GET.getlist("id") if EXPORT_ID.fullmatch(id)]
        rows = self.get_queryset(request).filter(pk__in=asked[:MAX_WATCHED])
        exports = list(defer_large(cast(QueryExportQuerySet, rows)))
        get_rights(request).mark(exports)
        news = {export.pk: make_news(export, self.get_download_url(export)) for export in exports}
        return JsonResponse({"exports": news}, headers={"Cache-Control": "no-store"})

    @method_decorator(require_safe)
    def download_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        if (export := self._find(request, object_id)) is None:
            return self._say_missing(request, object_id)
        outcome = send_file(request, export)
        if not isinstance(outcome, Refusal):
            return outcome
        self.message_user(request, outcome.label, messages.ERROR)
        if outcome != Refusal.FORBIDDEN:
            return self._lead_to(export)
        # The page of the export, which may still be seen, says why.
        response = self.change_view(request, object_id)
        response.status_code = 403
        return response

    @method_decorator(require_POST)
    def cancel_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        if (export := self._find(request, object_id)) is None:
            return self._say_missing(request, object_id)
        tell(self, request, cancel([export], request.user))
        return self._lead_to(export)

    @method_decorator(require_POST)
    def run_again_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        if (export := self._find(request, object_id)) is None:
            return self._say_missing(request, object_id)
        started, outcomes = run_again([export], request)
        tell(self, request, outcomes)
        return self._lead_to(started[0] if started else export)

    def _find(self, request: HttpRequest, object_id: str) -> QueryExport | None:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self.get_object(request, unquote(object_id))

    def _say_missing(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        # As Django's own pages do it, with a message on the index.
        lead_back: Any = super()._get_obj_does_not_exist_redirect  # type: ignore[misc]
        response: HttpResponseBase = lead_back(request, self.opts, object_id)
        return response

    def _lead_to(self, export: QueryExport) -> HttpResponseRedirect:
        return HttpResponseRedirect(self.get_link("change", quote(export.pk)))

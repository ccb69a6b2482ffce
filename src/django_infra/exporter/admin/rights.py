"""Decide who may do what in the admin, with any export and with one.

For one export it is as over REST.
"""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from django_infra.exporter.access import may_change, may_delete
from django_infra.exporter.models import QueryExport
from django_infra.exporter.models.query_export import may_view_all
from django_infra.exporter.registry import registry
from django_infra.exporter.registry.named_export import User

ANSWER = "_owns_exports"


class ExportRights(admin.ModelAdmin):  # type: ignore[type-arg]  # no generic at run time
    def has_module_permission(self, request: HttpRequest) -> bool:
        return super().has_module_permission(request) or self.has_view_permission(request)

    # A row is written by its export alone.

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: QueryExport | None = None) -> bool:
        # Without an export Django asks whether to offer the page, or the action, at all.
        if obj is None:
            return may_view_any(request)
        return may_view_all(request.user) or obj.is_owned_by(request.user)

    def has_delete_permission(self, request: HttpRequest, obj: QueryExport | None = None) -> bool:
        if obj is None:
            return may_do_any(request, "delete")
        return self.has_view_permission(request, obj) and may_delete(request.user, obj)

    def has_cancel_permission(self, request: HttpRequest, obj: QueryExport | None = None) -> bool:
        if obj is None:
            return may_do_any(request, "change")
        return not obj.has_ended and may_change(request.user, obj)

    def has_run_again_permission(
        self, request: HttpRequest, obj: QueryExport | None = None
    ) -> bool:
        if obj is None:
            return may_run_any(request.user)
        return may_run_again(request.user, obj)


def may_view_any(request: HttpRequest) -> bool:
    return may_view_all(request.user) or owns_any(request)


def may_view_now(request: HttpRequest) -> bool:
    """Ask again, when exports have been deleted."""
    request.__dict__.pop(ANSWER, None)
    return may_view_any(request)


def may_do_any(request: HttpRequest, codename: str) -> bool:
    """Tell whether there may be exports to which the user may do that."""
    is_permitted = request.user.has_perm(f"exporter.{codename}_queryexport")
    return (is_permitted and may_view_all(request.user)) or owns_any(request)


def owns_any(request: HttpRequest) -> bool:
    """Tell whether the user has asked for an export, and ask the database but once."""
    if not hasattr(request, ANSWER):
        rows = QueryExport.objects.filter(created_by=request.user.pk)
        setattr(request, ANSWER, rows.exists())
    return bool(getattr(request, ANSWER))


def may_run_any(user: User) -> bool:
    return any(named.is_permitted(user) for named in registry.exports)


def may_run_again(user: User, export: QueryExport) -> bool:
    """Tell whether it was started by name, has ended, and the user may start it too."""
    return export.has_ended and any(
        named.is_permitted(user)
        for named in registry.exports
        if export.name and named.name == export.name
    )

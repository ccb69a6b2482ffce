from __future__ import annotations

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from django_infra.exporter.models import QueryExport
from django_infra.exporter.querysets import may_view_all
from django_infra.exporter.registry import registry


def may_change(user: Any, export: QueryExport) -> bool:
    """Tell whether the user may cancel the export, of those that the user may see."""
    return export.is_owned_by(user) or user.has_perm("exporter.change_queryexport")


def may_delete(user: Any, export: QueryExport) -> bool:
    """Tell whether the user may delete the export, of those that the user may see."""
    return export.is_owned_by(user) or user.has_perm("exporter.delete_queryexport")


def list_names(user: Any) -> list[str]:
    """Return the names of the exports that the user may start, or has started; None knows all."""
    if user is None or may_view_all(user):
        return sorted({named.name for named in registry.exports})
    permitted = {
        named.name for named in registry.exports if named.is_listed and named.is_permitted(user)
    }
    own = QueryExport.objects.visible_to(user).exclude(name="").order_by().values_list("name")
    return sorted({*permitted, *(name for (name,) in own.distinct())})


class MayChangeExport(BasePermission):
    """Let owners change what they may see, and others by the permission to change or delete."""

    def has_object_permission(self, request: Request, view: APIView, obj: QueryExport) -> bool:
        if request.method in SAFE_METHODS:
            return True
        is_permitted = may_delete if request.method == "DELETE" else may_change
        return is_permitted(request.user, obj)

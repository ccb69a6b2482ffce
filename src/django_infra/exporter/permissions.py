from __future__ import annotations

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from django_infra.exporter.models import QueryExport


def may_change(user: Any, export: QueryExport) -> bool:
    """Tell whether the user may cancel the export, of those that the user may see."""
    return export.is_owned_by(user) or user.has_perm("exporter.change_queryexport")


def may_delete(user: Any, export: QueryExport) -> bool:
    """Tell whether the user may delete the export, of those that the user may see."""
    return export.is_owned_by(user) or user.has_perm("exporter.delete_queryexport")


class MayChangeExport(BasePermission):
    """Let owners change what they may see, and others by the permission to change or delete."""

    def has_object_permission(self, request: Request, view: APIView, obj: QueryExport) -> bool:
        if request.method in SAFE_METHODS:
            return True
        is_permitted = may_delete if request.method == "DELETE" else may_change
        return is_permitted(request.user, obj)

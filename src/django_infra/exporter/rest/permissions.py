"""Decide over REST who may change or delete an export."""

from __future__ import annotations

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from django_infra.exporter.access import may_change, may_delete
from django_infra.exporter.models import QueryExport


class MayChangeExport(BasePermission):
    """Let owners change what they may see, and others by the permission to change or delete."""

    def has_object_permission(self, request: Request, view: APIView, obj: QueryExport) -> bool:
        if request.method in SAFE_METHODS:
            return True
        is_permitted = may_delete if request.method == "DELETE" else may_change
        return is_permitted(request.user, obj)

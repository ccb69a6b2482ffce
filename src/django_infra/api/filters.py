from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db.models import QuerySet
from django.http import HttpRequest
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.views import APIView


class FilterBackend(DjangoFilterBackend):
    """Filter by ``filterset_class``, also in projects that do not install ``django_filters``.

    The browsable API renders the filters with that app's templates; without the app it has no
    filter form, where DjangoFilterBackend raises TemplateDoesNotExist.
    """

    def to_html(self, request: HttpRequest, queryset: QuerySet[Any], view: APIView) -> str:
        if not apps.is_installed("django_filters"):
            return ""
        return super().to_html(request, queryset, view)

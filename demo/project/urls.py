from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/exports/", include("django_infra.exporter.urls", namespace="exporter")),
]

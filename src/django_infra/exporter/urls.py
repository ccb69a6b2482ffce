from __future__ import annotations

from rest_framework.routers import SimpleRouter

from django_infra.exporter.rest.views import QueryExportViewSet

app_name = "exporter"

router = SimpleRouter()
router.register("", QueryExportViewSet, basename="exporter")

urlpatterns = router.urls

from __future__ import annotations

from django_tenants.utils import get_tenant_model, tenant_context

from django_infra.exporter.changelists.requests import ChangeListRequest
from django_infra.exporter.runners import Runner


class SchemaRequest(ChangeListRequest):
    def capture(self, request):
        return {"schema": request.tenant.schema_name}

    def restore(self, request, captured):
        request.tenant = get_tenant_model().objects.get(schema_name=captured["schema"])
        return tenant_context(request.tenant)


class LaterRunner(Runner):
    """Leave the jobs to a worker that begins when it is told."""

    works_at_once = False

    def enqueue(self, export_id):
        """Leave it."""

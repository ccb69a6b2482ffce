"""An export in a tenant of django-tenants, whose backend chooses the schema."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import types

import django
from django.conf import settings

database = json.loads(os.environ["EXPORTER_TENANTS_DATABASE"])
company = types.ModuleType("company")
company.__file__ = __file__
sys.modules["company"] = company
apps = ["django.contrib.contenttypes", "django.contrib.auth"]
settings.configure(
    DATABASES={"default": database | {"ENGINE": "django_tenants.postgresql_backend"}},
    DATABASE_ROUTERS=["django_tenants.routers.TenantSyncRouter"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django_tenants", "company", *apps, "django_infra.exporter"],
    SHARED_APPS=["django_tenants", "company", *apps],
    TENANT_APPS=[*apps, "django_infra.exporter"],
    TENANT_MODEL="company.Client",
    TENANT_DOMAIN_MODEL="company.Domain",
    MEDIA_ROOT=tempfile.mkdtemp(),
    SECRET_KEY="tests",
    USE_TZ=True,
)
django.setup()

from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection
from django_tenants.models import DomainMixin, TenantMixin
from django_tenants.utils import tenant_context

from django_infra.exporter.export import export_queryset
from django_infra.exporter.jobs import progress
from exporter.faults.naps import Nap


class Client(TenantMixin):
    class Meta:
        app_label = "company"


class Domain(DomainMixin):
    class Meta:
        app_label = "company"


def export(client):
    """Export in the tenant, and return the outcome and the totals that were counted."""
    totals = set()
    with tenant_context(client):
        rows = ContentType.objects.order_by("pk").annotate(nap=Nap(0.05))
        done = export_queryset(
            rows, ["id", "nap"], watch=lambda row_count, total: totals.add(total)
        )
        return {"state": done.state, "rows": done.row_count, "totals": sorted(totals - {None})}


if __name__ == "__main__":
    progress.INTERVAL = 0.1
    with connection.schema_editor() as editor:
        editor.create_model(Client)
        editor.create_model(Domain)
    call_command("migrate_schemas", verbosity=0, interactive=False)
    client = Client(schema_name="acme")
    client.save(verbosity=0)
    with tenant_context(client):
        ContentType.objects.all().delete()
        ContentType.objects.bulk_create(
            ContentType(app_label="made", model=f"up{number}") for number in range(25)
        )
    print(json.dumps(export(client)), flush=True)

from __future__ import annotations

from django.db import models
from django_tenants.models import DomainMixin, TenantMixin


class Tenant(TenantMixin):
    name = models.CharField(max_length=20)

    def __str__(self):
        return self.name


class Domain(DomainMixin):
    pass

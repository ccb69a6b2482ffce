"""Export change lists of models that are django-multitenant's own, on whatever database."""

from __future__ import annotations

import csv
from contextlib import contextmanager
from types import ModuleType

import pytest
from django.contrib import admin
from django.db import connection, models
from django.db.models.deletion import Collector
from django.db.models.fields import related_descriptors
from django.db.models.sql import DeleteQuery, UpdateQuery
from django.test import Client, RequestFactory
from django.test.utils import isolate_apps
from django.urls import path
from django_multitenant.fields import TenantForeignKey
from django_multitenant.models import TenantModel
from django_multitenant.utils import get_current_tenant, set_current_tenant

from django_infra.exporter.admin import export_selected
from django_infra.exporter.changelists.export import NAME, make_params
from django_infra.exporter.changelists.requests import ChangeListRequest
from django_infra.exporter.changelists.rows import Listing
from django_infra.exporter.exceptions import OtherRows
from django_infra.exporter.export import schedule_export
from django_infra.exporter.jobs.worker import run_job

pytestmark = pytest.mark.django_db(transaction=True)

with isolate_apps("testapp"):

    class Store(TenantModel):
        name = models.CharField(max_length=20)

        class Meta:
            app_label = "testapp"

        class TenantMeta:
            tenant_field_name = "id"

        def __str__(self):
            return self.name

    class Product(TenantModel):
        store = models.ForeignKey(Store, models.CASCADE)
        name = models.CharField(max_length=20)

        class Meta:
            app_label = "testapp"

        class TenantMeta:
            tenant_field_name = "store_id"

        def __str__(self):
            return self.name

    class Purchase(TenantModel):
        store = models.ForeignKey(Store, models.CASCADE)
        product = TenantForeignKey(Product, models.CASCADE)
        count = models.IntegerField()

        class Meta:
            app_label = "testapp"

        class TenantMeta:
            tenant_field_name = "store_id"

        def __str__(self):
            return str(self.count)


class StoreRequest(ChangeListRequest):
    def capture(self, request):
        return {"tenant": get_current_tenant().pk}

    @contextmanager
    def restore(self, request, captured):
        previous = get_current_tenant()
        set_current_tenant(Store.objects.get(pk=captured["tenant"]))
        try:
            yield
        finally:
            set_current_tenant(previous)


@pytest.fixture
def model_admin(settings):
    class PurchaseAdmin(admin.ModelAdmin):
        actions = [export_selected]
        list_display = ["count", "product__name"]
        ordering = ["count"]

    site = admin.AdminSite("admin")
    site.register(Purchase, PurchaseAdmin)
    urls = ModuleType("urls_of_stores")
    urls.urlpatterns = [path("own/", site.urls)]
    settings.ROOT_URLCONF = urls
    return site.get_model_admin(Purchase)


@pytest.fixture
def stores(monkeypatch):
    """Two stores with purchases, in tables of the test."""
    # What the package makes of Django once one of its models is used.
    for owner, name in [
        (Collector, "delete"),
        (Collector, "related_objects"),
        (DeleteQuery, "get_compiler"),
        (UpdateQuery, "update_batch"),
        (related_descriptors, "create_forward_many_to_many_manager"),
    ]:
        monkeypatch.setattr(owner, name, getattr(owner, name))
    with connection.schema_editor() as editor:
        for model in (Store, Product, Purchase):
            editor.create_model(model)
    stores = [Store.objects.create(name=name) for name in ("a", "b")]
    for store in stores:
        product = Product.objects.create(store=store, name=f"product of {store.name}")
        for count in range(3):
            Purchase.objects.create(store=store, product=product, count=count)
    yield stores
    set_current_tenant(None)
    with connection.schema_editor() as editor:
        for model in (Purchase, Product, Store):
            editor.delete_model(model)


def ask(model_admin, user):
    request = RequestFactory().get("/")
    request.user = user
    listing = Listing(model_admin, request)
    return make_params(listing, columns=["count", "product__name"], headers="names", options={})


def test_a_worker_has_the_rows_of_the_tenant(model_admin, stores, admin_user, settings):
    set_current_tenant(stores[0])
    with pytest.raises(OtherRows, match="the query is another"):
        ask(model_admin, admin_user)
    settings.EXPORTER_ADMIN_REQUEST = f"{__name__}.StoreRequest"
    scheduled = []
    client = Client()
    client.force_login(admin_user)
    for store in stores:
        set_current_tenant(store)
        shown = client.get("/own/testapp/purchase/").context["cl"].result_list
        want = [[str(each.count), each.product.name] for each in shown]
        job = schedule_export(NAME, ask(model_admin, admin_user), created_by=admin_user)
        scheduled.append((job, want))
    set_current_tenant(None)
    for job, want in scheduled:
        run_job(job.pk)
        assert get_current_tenant() is None
        job.refresh_from_db()
        with job.file.open() as file:
            assert list(csv.reader(file.read().decode().splitlines()))[1:] == want
        assert len(want) == 3

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from django_infra.exporter.admin import export_selected
from tenants.shop.models import Order


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    actions = [export_selected]
    list_display = ["name"]
    ordering = ["name"]


urlpatterns = [path("admin/", admin.site.urls)]

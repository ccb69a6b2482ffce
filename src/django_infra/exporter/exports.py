"""The exports that the app itself declares."""

from __future__ import annotations

from importlib import import_module

from django.apps import apps

from django_infra.exporter.registry import register

if apps.is_installed("django.contrib.admin"):
    changelists = import_module("django_infra.exporter.changelists.export")
    register(changelists.NAME)(changelists.ModelAdminExport)

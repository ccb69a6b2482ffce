from __future__ import annotations

from django.apps import AppConfig
from django.core import checks
from django.utils.translation import gettext_lazy as _

from django_infra.exporter.checks import check_media_urls, check_settings


class ExporterConfig(AppConfig):
    name = "django_infra.exporter"
    label = "exporter"
    verbose_name = _("Exports")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        checks.register(check_settings, checks.Tags.files)
        checks.register(check_media_urls, checks.Tags.security)

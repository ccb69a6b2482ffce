from __future__ import annotations

from django.apps import AppConfig, apps
from django.core import checks
from django.db.models.signals import pre_delete
from django.utils.translation import gettext_lazy as _

from django_infra.exporter.checks import check_named_exports, check_settings
from django_infra.exporter.delivery.checks import check_temp_folder
from django_infra.exporter.delivery.media import check_location, check_media_urls
from django_infra.exporter.management.checks import check_commands
from django_infra.exporter.registry import autodiscover


class ExporterConfig(AppConfig):
    name = "django_infra.exporter"
    label = "exporter"
    verbose_name = _("Exports")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # They import the models, which are there only now.
        from django_infra.exporter.housekeeping.leftovers import remove_file_of_deleted_row
        from django_infra.exporter.models import QueryExport
        from django_infra.exporter.models.checks import check_tables
        from django_infra.exporter.runners.checks import check_runner

        checks.register(check_settings, checks.Tags.files)
        checks.register(check_location, checks.Tags.files)
        checks.register(check_media_urls, checks.Tags.security)
        checks.register(check_temp_folder, checks.Tags.security)
        checks.register(check_tables, checks.Tags.database)
        checks.register(check_named_exports)
        checks.register(check_commands)
        checks.register(check_runner)
        if apps.is_installed("django.contrib.admin"):
            from django_infra.exporter.changelists.checks import (
                check_admin_columns,
                check_admin_settings,
                check_admin_sites,
                check_rebuilding,
            )
            from django_infra.exporter.runners.waiting import check_waiting

            checks.register(check_admin_columns, checks.Tags.admin)
            checks.register(check_admin_settings, checks.Tags.admin)
            checks.register(check_admin_sites, checks.Tags.admin)
            checks.register(check_rebuilding, checks.Tags.admin)
            checks.register(check_waiting, checks.Tags.admin)
        for model in apps.get_models():
            # Proxies send signals of their own.
            if model._meta.concrete_model is QueryExport:
                pre_delete.connect(
                    remove_file_of_deleted_row, sender=model, dispatch_uid="exporter"
                )
        autodiscover()

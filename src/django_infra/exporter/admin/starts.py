"""Start an export from a page, or make it at once, and lead to the page that comes next."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from functools import partial, update_wrapper

from django.contrib import messages
from django.contrib.admin.utils import quote
from django.http import HttpRequest, HttpResponseRedirect
from django.utils.translation import gettext as _

from django_infra.exporter.admin.pages import ExportPages, View, run_without_transaction
from django_infra.exporter.admin.start_rate import check_start_rate
from django_infra.exporter.exceptions import shorten
from django_infra.exporter.export import enqueue_export, schedule_export
from django_infra.exporter.jobs.worker import run_job
from django_infra.exporter.models import ExportState, QueryExport

logger = logging.getLogger(__name__)


def make_admin_view(export_admin: ExportPages, view: View) -> View:
    """Return the view for staff, with the admin of exports as its first argument."""
    bound: View = update_wrapper(partial(view, export_admin), view)
    return run_without_transaction(export_admin.admin_site.admin_view(bound))


def start(
    export_admin: ExportPages,
    request: HttpRequest,
    name: str,
    params: Mapping[str, object],
    format: str,
) -> HttpResponseRedirect:
    """Hand the export over and lead to where it can be watched; raise as ``enqueue_export()``."""
    check_start_rate(request)
    export = enqueue_export(name, params, created_by=request.user, format=format)
    export_admin.message_user(request, _("The export has been started."), messages.SUCCESS)
    return _lead_to(export_admin, "change", export)


def run(
    export_admin: ExportPages,
    request: HttpRequest,
    name: str,
    params: Mapping[str, object],
    format: str,
) -> HttpResponseRedirect:
    """Make the export now and lead to its file; raise as ``schedule_export()``."""
    check_start_rate(request)
    export = schedule_export(name, params, created_by=request.user, format=format)
    try:
        run_job(export.pk)
    except Exception as error:
        # The row has the error, and the page to which this leads shows it.
        logger.error("%s has failed.", export.pk, exc_info=shorten(error))
    # Somebody may have deleted the row meanwhile.
    with suppress(QueryExport.DoesNotExist):
        export.refresh_from_db(using=export.database)
    if export.state == ExportState.SUCCESS:
        export_admin.message_user(request, _("The export is ready."), messages.SUCCESS)
        return _lead_to(export_admin, "download", export)
    if export.state == ExportState.FAIL:
        export_admin.message_user(request, _("The export failed."), messages.ERROR)
    return _lead_to(export_admin, "change", export)


def _lead_to(export_admin: ExportPages, page: str, export: QueryExport) -> HttpResponseRedirect:
    return HttpResponseRedirect(export_admin.get_link(page, quote(export.pk)))

"""Rows in each state, without the work, and the names of the pages that show them."""

from __future__ import annotations

import datetime
import re

from django.contrib.auth.models import Permission
from django.core.files.base import ContentFile

from django_infra.exporter.models import ExportState, QueryExport
from testapp.models import Author

LIST = "admin:exporter_queryexport_changelist"
DELETE = "admin:exporter_queryexport_delete"
DETAIL = "admin:exporter_queryexport_change"
DOWNLOAD = "admin:exporter_queryexport_download"
CANCEL = "admin:exporter_queryexport_cancel"
RUN_AGAIN = "admin:exporter_queryexport_run_again"
PROGRESS = "admin:exporter_queryexport_progress"
PERMISSIONS = ["add_queryexport", "change_queryexport", "delete_queryexport", "view_queryexport"]
CONTENT = b"id\r\n1\r\n2\r\n"


def make_export(state=ExportState.SUCCESS, error=None, **fields):
    defaults = {"model": Author, "format": "csv", "storage_alias": "default"}
    export = QueryExport.objects.schedule(**defaults | fields)
    if state != ExportState.SCHEDULED:
        export.claim("token")
    if state == ExportState.SUCCESS:
        export.succeed(row_count=12345, file_size=2048, job_time=datetime.timedelta(seconds=61))
    if state == ExportState.FAIL:
        export.fail(error or ValueError("no"), job_time=datetime.timedelta(seconds=1))
    return export


def make_file(content=CONTENT, **fields):
    """Create a finished export, and its file."""
    export = make_export(**fields)
    export.storage.save(export.file.name, ContentFile(content))
    return export


def get_listed(response):
    return {export.pk for export in response.context["cl"].result_list}


def permit(user, *codenames):
    """Leave the user these permissions on exports, and no other."""
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


def loads_errors(sql):
    """Tell whether the query selects the text of errors, and not only compares it."""
    return bool(re.search('error_log["`](,| FROM)', sql))

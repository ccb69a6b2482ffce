"""Rows in each state, without the work."""

from __future__ import annotations

import datetime

from django.core.files.base import ContentFile

from django_infra.exporter.models import ExportState, QueryExport
from testapp.models import Author

LIST = "/api/exports/"
SECRET = "SELECT card FROM orders WHERE pin = 'p!n-1234' at /srv/secret.py"
CONTENT = b"id\r\n1\r\n2\r\n"


def make_export(user=None, state=ExportState.SUCCESS, **fields):
    defaults = {"model": Author, "format": "csv", "storage_alias": "default"}
    export = QueryExport.objects.schedule(created_by=user, **defaults | fields)
    if state != ExportState.SCHEDULED:
        export.claim("token")
    if state == ExportState.SUCCESS:
        export.succeed(row_count=2, file_size=10, job_time=datetime.timedelta(seconds=61))
    if state == ExportState.FAIL:
        export.fail(ValueError(SECRET), job_time=datetime.timedelta(seconds=1))
    return export


def make_file(user=None, content=CONTENT, **fields):
    """Create a finished export, and its file."""
    export = make_export(user, **fields)
    export.storage.save(export.file.name, ContentFile(content))
    return export


def get_detail(export):
    return f"{LIST}{export.pk}/"


def get_ids(response):
    assert response.status_code == 200
    return [result["id"] for result in response.json()["results"]]

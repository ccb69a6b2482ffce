"""From an export to the response that sends its file."""

from __future__ import annotations

import posixpath
from datetime import timedelta
from typing import Any

from django.core.files import File
from django.http import HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from django_infra.api.files import FileStreamResponse, content_disposition, sign_storage_url
from django_infra.exporter.exceptions import InvalidSetting
from django_infra.exporter.formats import get_formats, get_writer
from django_infra.exporter.models import QueryExport
from django_infra.exporter.writers.base import Writer

# For a browser to follow at once.
REDIRECT_EXPIRES_IN = timedelta(minutes=1)


def open_download(request: Request, export: QueryExport) -> HttpResponseBase:
    """Return the file, or the redirect to where the storage itself gives it.

    Raises FileNotFoundError if the storage says that it has no such file, and what it raises
    otherwise.
    """
    storage = export.storage
    name = str(export.file.name)
    described = {
        "filename": posixpath.basename(export.file_path),
        "content_type": get_content_type(export.format),
    }
    response: HttpResponseBase
    try:
        url = sign_storage_url(storage, name, **described, expires_in=REDIRECT_EXPIRES_IN)
        if url is None:
            response = _stream(request, storage.open(name, "rb"), export, described)
        elif not storage.exists(name):
            raise FileNotFoundError(name)
        else:
            response = _redirect(request, url, export, described)
    except OSError:
        # exists() takes a folder that may not be entered for one without the file.
        raise
    except Exception as error:
        if storage.exists(name):
            raise
        raise FileNotFoundError(name) from error
    response["Cache-Control"] = "private, no-store"
    return response


def _redirect(
    request: Request, url: str, export: QueryExport, described: dict[str, Any]
) -> HttpResponse:
    if request.method != "HEAD":
        return HttpResponseRedirect(url)
    # The URL is signed for GET alone.
    headers = {
        "Content-Disposition": content_disposition(described["filename"]),
        "Content-Length": str(export.file_size),
        "X-Content-Type-Options": "nosniff",
    }
    return HttpResponse(content_type=described["content_type"], headers=headers)


def _stream(
    request: Request, file: File[Any], export: QueryExport, described: dict[str, Any]
) -> FileStreamResponse:
    return FileStreamResponse(
        request,
        file,
        # What is saved under the name of an attempt never changes, unless somebody else does it.
        etag=f'"{export.pk}-{export.attempt}-{file.size}"',
        last_modified=export.finished_at,
        **described,
    )


def get_content_type(format: str) -> str:
    """Return that of the format, which may not be configured any more."""
    try:
        return get_writer(format).content_type if format in get_formats() else Writer.content_type
    except InvalidSetting:
        return Writer.content_type

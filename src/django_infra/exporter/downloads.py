"""Send the file of an export, or say why there is none to send."""

from __future__ import annotations

import logging
import posixpath
from datetime import timedelta
from typing import TYPE_CHECKING, TypedDict

from django.core.files import File
from django.db.models import TextChoices
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _

from django_infra.api.files import FileStreamResponse, content_disposition, sign_storage_url
from django_infra.exporter.access import get_rights, may_follow_link
from django_infra.exporter.exceptions import InvalidSetting
from django_infra.exporter.models import ExportState, QueryExport
from django_infra.exporter.writers import get_formats, get_writer
from django_infra.exporter.writers.base import Writer

if TYPE_CHECKING:
    from rest_framework.request import Request

logger = logging.getLogger(__name__)

# A browser follows at once; who keeps the signed URL should not have the file for long.
REDIRECT_EXPIRES_IN = timedelta(minutes=1)


class Refusal(TextChoices):
    """Why there is no file to send."""

    FORBIDDEN = "forbidden", _("You may not run this export any more.")
    DEAD_LINK = "dead_link", _("Whoever made this export may not run it any more.")
    UNFINISHED = "unfinished", _("The export is not finished.")
    FAILED = "failed", _("The export failed.")
    EXPIRED = "expired", _("The file has expired.")
    GONE = "gone", _("The file is gone.")
    UNREADABLE = "unreadable", _("The file cannot be read now.")


class Description(TypedDict):
    filename: str
    content_type: str


def send_file(
    request: HttpRequest | Request, export: QueryExport, *, by_link: bool = False
) -> HttpResponseBase | Refusal:
    """Return the file, or where it is, or why not; a row whose file is gone says so from now on.

    A signed link counts as a request of the user who has made the export.
    """
    if by_link and not may_follow_link(export):
        return Refusal.DEAD_LINK
    if not (by_link or get_rights(request).may_download(export)):
        return Refusal.FORBIDDEN
    if not export.has_ended:
        return Refusal.UNFINISHED
    if export.state != ExportState.SUCCESS:
        return Refusal.FAILED
    if export.has_expired:
        return Refusal.EXPIRED
    if not export.file:
        return Refusal.GONE
    try:
        return open_download(request, export)
    except FileNotFoundError:
        export.lose_file()
        return Refusal.GONE
    except Exception:
        logger.exception("Could not send the file of %s.", export.pk)
        return Refusal.UNREADABLE


def open_download(request: HttpRequest | Request, export: QueryExport) -> HttpResponseBase:
    """Return the file, or the redirect to where the storage itself gives it.

    Raises FileNotFoundError if the storage says that it has no such file, and what it raises
    otherwise.
    """
    storage = export.storage
    name = str(export.file.name)
    described: Description = {
        "filename": posixpath.basename(export.file_path),
        "content_type": get_content_type(export.format),
    }
    response: HttpResponseBase
    try:
        url = sign_storage_url(storage, name, **described, expires_in=REDIRECT_EXPIRES_IN)
        if url is None:
            response = _stream(request, export, name, described)
        elif not (storage.exists(name) and export.has_own_file()):
            # A redirect would lead to the storage's own error page, or to another file.
            raise FileNotFoundError(name)
        else:
            response = _redirect(request, url, export, described)
    except OSError:
        # exists() takes a folder that may not be entered for one without the file.
        raise
    except Exception as error:
        # Each storage has an error of its own for a file that is gone.
        if storage.exists(name):
            raise
        raise FileNotFoundError(name) from error
    response["Cache-Control"] = "private, no-store"
    return response


def _stream(
    request: HttpRequest | Request, export: QueryExport, name: str, described: Description
) -> FileStreamResponse:
    """Send the file that the export has saved, and no other of its name."""
    file: File[bytes] = export.storage.open(name, "rb")
    try:
        # Somebody else may have saved another file under the name.
        if not export.has_own_file(file):
            raise FileNotFoundError(name)
    except BaseException:
        file.close()
        raise
    # What is saved under the name of an attempt never changes, unless somebody else does it, and
    # then its size may tell.
    etag = f'"{export.pk}-{export.attempt}-{file.size}"'
    modified = export.finished_at
    return FileStreamResponse(request, file, etag=etag, last_modified=modified, **described)


def _redirect(
    request: HttpRequest | Request, url: str, export: QueryExport, described: Description
) -> HttpResponse:
    """Lead a GET to the storage, and answer a HEAD with what the storage would."""
    if request.method != "HEAD":
        return HttpResponseRedirect(url)
    # The URL is signed for GET alone.
    headers = {
        "Content-Disposition": content_disposition(described["filename"]),
        "Content-Length": str(export.file_size),
        "X-Content-Type-Options": "nosniff",
    }
    return HttpResponse(content_type=described["content_type"], headers=headers)


def get_content_type(format: str) -> str:
    """Return that of the format, which may not be configured any more."""
    try:
        return get_writer(format).content_type if format in get_formats() else Writer.content_type
    except InvalidSetting:
        return Writer.content_type

"""Send stored files over HTTP: whole or in part, or by the signed URL of their storage."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from asgiref.sync import sync_to_async
from django.core.files.base import File
from django.core.files.storage import Storage
from django.core.handlers.asgi import ASGIRequest
from django.db.models.fields.files import FieldFile
from django.http import FileResponse, HttpRequest
from django.utils.cache import get_conditional_response
from django.utils.http import http_date, quote_etag

from django_infra.api.byte_ranges import parse_byte_range
from django_infra.api.filenames import content_disposition

if TYPE_CHECKING:
    from rest_framework.request import Request

__all__ = ["FileStreamResponse", "content_disposition", "sign_storage_url"]

CHUNK_SIZE = 256 * 1024
# The parameters by which the signed URLs of S3, Google, CloudFront and Azure are known.
SIGNATURES = {"X-Amz-Signature", "X-Goog-Signature", "Signature", "sig"}


class FileStreamResponse(FileResponse):
    """Send an open binary file, or what a GET asks of it, and close it.

    Answer 206 or 416 to a Range, 304 or 412 to conditions, and 200 to several ranges.
    """

    def __init__(
        self,
        request: HttpRequest | Request,
        file: IO[bytes],
        *,
        filename: str,
        content_type: str,
        size: int | None = None,
        etag: str | None = None,
        last_modified: datetime | None = None,
        chunk_size: int = CHUNK_SIZE,
    ) -> None:
        # REST framework wraps the request of Django.
        request = getattr(request, "_request", request)
        self.file = file
        try:
            super().__init__(content_type=content_type)
            self["X-Content-Type-Options"] = "nosniff"
            # Keeps GZipMiddleware and proxies from compressing a part, or under a strong ETag.
            self["Content-Encoding"] = "identity"
            if etag is not None:
                self["ETag"] = quote_etag(etag)
            if last_modified is not None:
                self["Last-Modified"] = http_date(last_modified.timestamp())
            changed = int(last_modified.timestamp()) if last_modified else None
            refusal = get_conditional_response(request, self.get("ETag"), changed)
            part: Any = (
                self._choose_part(request, filename, size)
                if refusal is None
                else self._refuse(refusal.status_code)
            )
            self.block_size = chunk_size
            is_async = isinstance(request, ASGIRequest)
            self.streaming_content = _read_in_thread(part, chunk_size) if is_async else part
        except BaseException:
            file.close()
            raise

    def close(self) -> None:
        try:
            self.file.close()
        finally:
            super().close()

    def _choose_part(self, request: HttpRequest, filename: str, size: int | None) -> _Part:
        """Return what of the file is to be sent, and set the headers that tell of it."""
        can_seek = hasattr(self.file, "seekable") and self.file.seekable()
        if size is None and isinstance(self.file, File):
            size = self.file.size
        elif size is None and can_seek:
            size = self.file.seek(0, os.SEEK_END)
        elif size is None:
            raise ValueError(f"{self.file!r} cannot seek, and must be given with its size.")
        self["Accept-Ranges"] = "bytes" if can_seek else "none"
        span = self._choose_range(request, size) if can_seek else None
        if span is not None and not span:
            self["Content-Range"] = f"bytes */{size}"
            return self._refuse(416)
        self["Content-Disposition"] = content_disposition(filename)
        if span is not None:
            self.status_code = 206
            self["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
        part = range(size) if span is None else span
        self["Content-Length"] = str(len(part))
        # A HEAD gets the headers of the GET, and nothing is read for it.
        if request.method == "HEAD":
            self.file.close()
            return _Part(self.file, 0)
        if can_seek:
            self.file.seek(part.start)
        whole = len(part) == size and _is_plain(self.file, size)
        return (_PlainFile if whole else _Part)(self.file, len(part))

    def _refuse(self, status: int) -> _Part:
        self.file.close()
        self.status_code = status
        del self["Content-Type"]
        # A 304 has no length of its own: the header would be that of the file (RFC 9110, 8.6).
        if status != 304:
            self["Content-Length"] = "0"
        return _Part(self.file, 0)

    def _choose_range(self, request: HttpRequest, size: int) -> range | None:
        """Return the bytes asked for, or None for the whole file (RFC 9110, section 14.2)."""
        asked = request.headers.get("Range")
        if asked is None or request.method != "GET":
            return None
        condition = request.headers.get("If-Range")
        if condition is not None:
            # A weak ETag says nothing about bytes.
            is_weak = condition.startswith("W/")
            if is_weak or condition not in (self.get("ETag"), self.get("Last-Modified")):
                return None
        return parse_byte_range(asked, size)


class _Part:
    """So many bytes of a file from where it is: no more, and an error if it ends before."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self.file = file
        self.left = length

    def read(self, size: int) -> bytes:
        if not self.left:
            return b""
        data = self.file.read(min(size, self.left))
        if not data:
            # Raising breaks the connection, which tells the client that the file is not whole.
            raise OSError(f"{self.file!r} ended {self.left} bytes before its size.")
        self.left -= len(data)
        return data


class _PlainFile(_Part):
    """A file whose descriptor a WSGI server may give to sendfile()."""

    def fileno(self) -> int:
        return self.file.fileno()


async def _read_in_thread(part: _Part, chunk_size: int) -> AsyncIterator[bytes]:
    # The thread of the request also runs response.close(), so never during a read.
    read = sync_to_async(part.read)
    try:
        while data := await read(chunk_size):
            yield data
    finally:
        # Django's ASGI handler does not close a response that raised.
        await sync_to_async(part.file.close)()


def _is_plain(file: Any, size: int) -> bool:
    """Return whether the descriptor is at the start of just those bytes that reading gives."""
    # Any other class may decrypt or decompress what it reads.
    while type(file) in (File, FieldFile):
        file = file.file
    if type(file) is not io.BufferedReader or type(file.raw) is not io.FileIO:
        return False
    number = file.fileno()
    return os.fstat(number).st_size == size and os.lseek(number, 0, os.SEEK_CUR) == 0


def sign_storage_url(
    storage: Storage,
    name: str,
    *,
    filename: str,
    content_type: str,
    expires_in: timedelta | int,
) -> str | None:
    """Return the short-lived URL that a storage signs for a file, or None if it signs none.

    A storage takes part by a method ``sign_url(name, *, filename, content_type, expires_in)``,
    which gets seconds; those of django-storages for S3, Google and Azure need none.
    """
    # The storages take whole seconds.
    seconds = int(expires_in.total_seconds()) if isinstance(expires_in, timedelta) else expires_in
    if hasattr(storage, "sign_url"):
        signed: str | None = storage.sign_url(
            name, filename=filename, content_type=content_type, expires_in=seconds
        )
        return signed
    options = _get_url_options(storage, content_disposition(filename), content_type, seconds)
    if options is None:
        return None
    # The storages know by more than one setting whether they sign; the URL tells for sure.
    url: str = storage.url(name, **options)
    return url if SIGNATURES & parse_qs(urlsplit(url).query).keys() else None


def _get_url_options(
    storage: Any, disposition: str, content_type: str, seconds: int
) -> dict[str, Any] | None:
    """Return what makes a storage of django-storages sign its URL, known by its attributes."""
    # S3, whose CloudFront takes other names for the same headers.
    if hasattr(storage, "cloudfront_signer"):
        names = ("ResponseContentDisposition", "ResponseContentType")
        if storage.custom_domain:
            names = ("response-content-disposition", "response-content-type")
        parameters = dict(zip(names, (disposition, content_type), strict=True))
        return {"parameters": parameters, "expire": seconds}
    # Google Cloud Storage takes the time among the parameters.
    if hasattr(storage, "iam_sign_blob"):
        parameters = {"response_disposition": disposition, "response_type": content_type}
        return {"parameters": parameters | {"expiration": timedelta(seconds=seconds)}}
    # Azure signs with one of these two, or not at all.
    if hasattr(storage, "expiration_secs") and (storage.account_key or storage.token_credential):
        parameters = {"content_disposition": disposition, "content_type": content_type}
        return {"parameters": parameters, "expire": seconds}
    return None

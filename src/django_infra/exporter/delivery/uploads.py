"""Uploads in parts, which S3 keeps and bills until somebody completes or aborts them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from django.core.files.storage import Storage

from django_infra.exporter.transient_errors import is_transient

logger = logging.getLogger(__name__)

# Clocks that differ by less agree, as the store tells the time in whole seconds.
CLOCK_TOLERANCE = timedelta(seconds=2)


@dataclass(frozen=True)
class Upload:
    """An upload that is open."""

    client: Any
    bucket: str
    key: str
    id: str

    def abort(self) -> None:
        """Have the store forget the parts; it is no error that it has no such upload."""
        logger.warning("Aborting the upload %s of %r in %r.", self.id, self.key, self.bucket)
        try:
            self.client.abort_multipart_upload(Bucket=self.bucket, Key=self.key, UploadId=self.id)
        except Exception as error:
            if _get_status(error) != HTTPStatus.NOT_FOUND:
                raise


def find_uploads(storage: Storage, name: str, *, since: datetime | None) -> list[Upload]:
    """Return those of the very key that have begun since the moment on this host's clock.

    Without a moment these are all. A store that lists none, or not for us, has none.
    """
    bucket: Any = getattr(storage, "bucket", None)
    if not hasattr(bucket, "multipart_uploads"):
        return []
    key = storage._normalize_name(name)  # type: ignore[attr-defined]  # that of S3Storage
    client = bucket.meta.client
    try:
        ids = list(_list_ids(client, bucket.name, key, since))
    except Exception as error:
        status = _get_status(error)
        if status is None or (is_transient(error) and status != HTTPStatus.NOT_IMPLEMENTED):
            raise
        logger.warning(
            "May not list the open uploads of %r in %r; a rule of the bucket's lifecycle can "
            "abort them: %s",
            key,
            bucket.name,
            error,
        )
        return []
    return [Upload(client, bucket.name, key, id) for id in ids]


def find_upload(storage: Storage, name: str, id: str) -> Upload:
    """Return an upload whose id is known."""
    bucket = storage.bucket  # type: ignore[attr-defined]
    return Upload(bucket.meta.client, bucket.name, storage._normalize_name(name), id)  # type: ignore[attr-defined]


def may_need_parts(storage: Storage, size: int) -> bool:
    """Tell whether the storage sends a file of the size in parts."""
    config = getattr(storage, "transfer_config", None)
    return config is not None and size >= config.multipart_threshold


def _list_ids(client: Any, bucket: str, key: str, since: datetime | None) -> Iterator[str]:
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=key):
        start = None if since is None else since + _measure_lead(page)
        for upload in page.get("Uploads", []):
            if upload["Key"] == key and (start is None or upload["Initiated"] >= start):
                yield upload["UploadId"]


def _measure_lead(page: dict[str, Any]) -> timedelta:
    """Return by how much the clock of the store is ahead of that of this host, if it is."""
    try:
        told = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])
    except (KeyError, ValueError):
        return timedelta(0)
    lead = told.replace(tzinfo=UTC) - datetime.now(UTC)
    return timedelta(0) if abs(lead) <= CLOCK_TOLERANCE else lead - CLOCK_TOLERANCE


def _get_status(error: Exception) -> int | None:
    response: Any = getattr(error, "response", None)
    if not isinstance(response, dict):
        return None
    status: int | None = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status

"""From a finished temporary file to the storage, once and whole."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.core.files.storage import FileSystemStorage, Storage

from django_infra.exporter.delivery.base import (
    TEMP_SUFFIX,
    Delivery,
    Left,
    delete_if_there,
    forget,
    make_barred_error,
    make_exists_error,
)
from django_infra.exporter.delivery.facts import is_same, may_be_same, split_facts
from django_infra.exporter.delivery.filesystem import FileSystemDelivery
from django_infra.exporter.delivery.local import LocalDelivery
from django_infra.exporter.delivery.uploads import find_upload, find_uploads

__all__ = [
    "TEMP_SUFFIX",
    "Delivery",
    "Left",
    "LocalDelivery",
    "delete_if_there",
    "find_upload",
    "find_uploads",
    "get_delivery",
    "is_same",
    "make_barred_error",
    "make_exists_error",
    "may_be_same",
    "split_facts",
]


def get_delivery(
    storage: Storage,
    name: str,
    *,
    temp_name: str,
    may_stay: Callable[[], bool | None] = lambda: False,
    check: Callable[[], None] = lambda: None,
    is_taken_over: Callable[[], bool] = lambda: False,
    began_at: datetime | None = None,
    remember: Callable[[Left], None] = forget,
) -> Delivery:
    """Return the way to deliver into the storage.

    A subclass of FileSystemStorage that saves in a way of its own (encrypted, say) does so here.
    """
    storage_class: Any = type(storage)
    is_plain = isinstance(storage, FileSystemStorage) and (
        storage_class.save is Storage.save and storage_class._save is FileSystemStorage._save  # type: ignore[attr-defined]
    )
    delivery_class = FileSystemDelivery if is_plain else Delivery
    return delivery_class(
        storage,
        name,
        temp_name=temp_name,
        may_stay=may_stay,
        check=check,
        # A file system does not overwrite, and knows our file by its inode.
        is_taken_over=(lambda: False) if is_plain else is_taken_over,
        began_at=began_at,
        remember=remember,
    )

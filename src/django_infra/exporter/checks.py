"""System checks of the settings; every id is documented, and none is ever given to another rule."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.files.storage import FileSystemStorage, storages
from django.urls import URLPattern, URLResolver, get_resolver
from django.views.static import serve

from django_infra.exporter.conf import conf
from django_infra.exporter.exceptions import (
    InvalidFormatSetting,
    InvalidSetting,
)
from django_infra.exporter.formats import check_format_name, get_formats, get_writer
from django_infra.exporter.paths import MAX_ID_LENGTH, find_fault


def check_settings(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check each setting of the exporter."""
    return [
        *_check_storage(),
        *_check_formats(),
        *_check_chunk_size(),
        *_check_path_prefix(),
        *_check_temp_dir(),
        *_check_escape_formulas(),
        *_check_lease(),
        *_check_old_storage_setting(),
    ]


def require_settings() -> None:
    """Raise InvalidSetting for what the checks call an error; workers do not run checks."""
    for check in (
        _check_storage,
        _check_chunk_size,
        _check_path_prefix,
        _check_temp_dir,
        _check_escape_formulas,
    ):
        for message in check():
            raise InvalidSetting(message.msg)


def check_media_urls(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Warn when the project's own URLs serve the exports to everyone."""
    if any(_check_storage()) or any(_check_path_prefix()):
        return []
    storage = storages[conf.storage]
    if not isinstance(storage, FileSystemStorage) or not getattr(settings, "ROOT_URLCONF", None):
        return []
    exports = Path(storage.path(conf.path_prefix)).resolve()
    return [
        Warning(
            f"The URL pattern {str(pattern.pattern)!r} serves {root!r} to everyone, and exports "
            f"are saved below it, in {str(exports)!r}.",
            hint="Point EXPORTER_STORAGE at a storage whose location no URL serves.",
            id="exporter.W002",
        )
        for pattern, root in _find_served_folders(get_resolver().url_patterns)
        if exports.is_relative_to(Path(root).resolve())
    ]


def _find_served_folders(
    patterns: Sequence[URLPattern | URLResolver], defaults: Mapping[str, Any] | None = None
) -> Iterator[tuple[URLPattern, str]]:
    """Yield the patterns of ``django.views.static.serve``, with the folder that each serves."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            inherited = {**(defaults or {}), **pattern.default_kwargs}
            yield from _find_served_folders(pattern.url_patterns, inherited)
        elif pattern.callback is serve:
            arguments = {**(defaults or {}), **pattern.default_args}
            # An empty root is the current folder, as an empty MEDIA_ROOT is.
            if (root := arguments.get("document_root")) is not None:
                yield pattern, os.fspath(root)


def _check_storage() -> Iterator[CheckMessage]:
    try:
        storages[conf.storage]
    except Exception as error:  # a storage's constructor may raise anything
        yield Error(
            f"EXPORTER_STORAGE is {conf.storage!r}, which is no alias in STORAGES that can be "
            f"used: {error}",
            hint=f"Use one of {', '.join(map(repr, settings.STORAGES))}.",
            id="exporter.E001",
        )


def _check_formats() -> Iterator[CheckMessage]:
    formats: Any = conf.formats
    if not isinstance(formats, dict):
        yield Error(
            f"EXPORTER_FORMATS is {formats!r}, but must be a dict.",
            hint='Map a format\'s name, such as "tsv", to {"BACKEND": ..., "OPTIONS": {...}}.',
            id="exporter.E002",
        )
        return
    for name in get_formats():
        try:
            check_format_name(name)
            get_writer(name)
        except InvalidFormatSetting as error:
            yield Error(f"EXPORTER_FORMATS is invalid: {error}", id="exporter.E002")
        except InvalidSetting:
            # Another check has a name for it.
            continue


def _check_chunk_size() -> Iterator[CheckMessage]:
    if type(conf.chunk_size) is not int or conf.chunk_size < 1:
        yield Error(
            f"EXPORTER_CHUNK_SIZE is {conf.chunk_size!r}, but must be a positive integer.",
            id="exporter.E003",
        )


def _check_path_prefix() -> Iterator[CheckMessage]:
    prefix: Any = conf.path_prefix
    # What follows it is as long as the id of an export can be.
    fault = (
        find_fault(f"{prefix}{'x' * MAX_ID_LENGTH}.csv")
        if isinstance(prefix, str)
        else "it is not a str"
    )
    if fault:
        yield Error(
            f"Invalid EXPORTER_PATH_PREFIX {prefix!r}: {fault}.",
            hint='Use a folder within the storage, with a slash at its end: "exports/".',
            id="exporter.E004",
        )


def _check_temp_dir() -> Iterator[CheckMessage]:
    folder: Any = conf.temp_dir
    if folder is not None and not _is_writable_folder(folder):
        yield Error(
            f"EXPORTER_TEMP_DIR is {folder!r}, but must be a folder that can be written to.",
            hint="Create it, or remove the setting to let the exporter choose.",
            id="exporter.E005",
        )


def _is_writable_folder(path: Any) -> bool:
    if not isinstance(path, str | os.PathLike):
        return False
    try:
        return os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK)
    except ValueError:  # a NUL
        return False


def _check_escape_formulas() -> Iterator[CheckMessage]:
    try:
        _ = conf.escape_formulas
    except InvalidSetting as error:
        yield Error(str(error), id="exporter.E006")


def _check_lease() -> Iterator[CheckMessage]:
    is_number = isinstance(conf.lease, int | float) and not isinstance(conf.lease, bool)
    if not is_number or not 2 <= conf.lease < math.inf:
        yield Error(
            f"EXPORTER_LEASE is {conf.lease!r}, but must be a number of seconds, at least 2.",
            hint="A heartbeat comes every second.",
            id="exporter.E007",
        )


def _check_old_storage_setting() -> Iterator[CheckMessage]:
    if hasattr(settings, "DEFAULT_FILE_STORAGE"):
        yield Warning(
            "DEFAULT_FILE_STORAGE is set, which Django ignores since 5.1; exports go to the "
            f"storage {conf.storage!r} of STORAGES.",
            hint='Set STORAGES["default"] and remove DEFAULT_FILE_STORAGE.',
            id="exporter.W001",
        )

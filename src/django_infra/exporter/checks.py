"""System checks of the settings; every id is documented, and none is ever given to another rule."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.files.storage import storages

from django_infra.exporter.conf import conf
from django_infra.exporter.exceptions import (
    InvalidFormatSetting,
    InvalidSetting,
)
from django_infra.exporter.formats import check_format_name, get_formats, get_writer
from django_infra.exporter.limits import find_limit_fault
from django_infra.exporter.paths import MAX_ID_LENGTH, find_fault
from django_infra.exporter.registry import registry

MAX_ATTEMPTS = 20


def check_settings(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check each setting of the exporter."""
    return [
        *check_storage(),
        *_check_formats(),
        *_check_chunk_size(),
        *check_path_prefix(),
        *_check_temp_dir(),
        *_check_escape_formulas(),
        *_check_fsync(),
        *_check_lease(),
        *_check_attempts(),
        *_check_limits(),
        *_check_old_storage_setting(),
    ]


def check_named_exports(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check what each ``exports.py`` declares."""
    return [
        Error(
            f"The named export {export!r} cannot work: {fault}.",
            id="exporter.E011",
        )
        for export in registry.exports
        for fault in registry.find_faults(export)
    ]


def require_settings() -> None:
    """Raise InvalidSetting for what the checks call an error; workers do not run checks."""
    for check in (
        check_storage,
        _check_chunk_size,
        check_path_prefix,
        _check_temp_dir,
        _check_escape_formulas,
        _check_fsync,
        _check_lease,
        _check_attempts,
        _check_limits,
    ):
        for message in check():
            raise InvalidSetting(message.msg)
    _ = conf.session_settings


def check_storage() -> Iterator[CheckMessage]:
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


def check_path_prefix() -> Iterator[CheckMessage]:
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


def _check_fsync() -> Iterator[CheckMessage]:
    try:
        _ = conf.fsync
    except InvalidSetting as error:
        yield Error(str(error), id="exporter.E043")


def _check_lease() -> Iterator[CheckMessage]:
    if not _is_number(conf.lease, at_least=2):
        yield Error(
            f"EXPORTER_LEASE is {conf.lease!r}, but must be a number of seconds, at least 2.",
            hint="A heartbeat comes every second.",
            id="exporter.E007",
        )


def _check_attempts() -> Iterator[CheckMessage]:
    if type(conf.max_attempts) is not int or not 1 <= conf.max_attempts <= MAX_ATTEMPTS:
        yield Error(
            f"EXPORTER_MAX_ATTEMPTS is {conf.max_attempts!r}, but must be an integer from 1 to "
            f"{MAX_ATTEMPTS}.",
            id="exporter.E009",
        )
    for name, value in (
        ("EXPORTER_RETRY_DELAY", conf.retry_delay),
        ("EXPORTER_HANDOVER_TIMEOUT", conf.handover_timeout),
    ):
        if not _is_number(value, at_least=0):
            yield Error(
                f"{name} is {value!r}, but must be a number of seconds, not negative.",
                id="exporter.E009",
            )


def _check_limits() -> Iterator[CheckMessage]:
    for name, value in (
        ("EXPORTER_MAX_ROWS", conf.max_rows),
        ("EXPORTER_MAX_FILE_SIZE", conf.max_file_size),
        ("EXPORTER_MAX_ACTIVE_PER_USER", conf.max_active_per_user),
        ("EXPORTER_EXPIRES_IN", conf.expires_in),
        ("EXPORTER_DELETE_ROWS_AFTER", conf.delete_rows_after),
    ):
        if fault := find_limit_fault(name, value):
            yield Error(f"{fault}.", id="exporter.E010")


def _is_number(value: Any, *, at_least: float) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and at_least <= value < math.inf


def _check_old_storage_setting() -> Iterator[CheckMessage]:
    if hasattr(settings, "DEFAULT_FILE_STORAGE"):
        yield Warning(
            "DEFAULT_FILE_STORAGE is set, which Django ignores since 5.1; exports go to the "
            f"storage {conf.storage!r} of STORAGES.",
            hint='Set STORAGES["default"] and remove DEFAULT_FILE_STORAGE.',
            id="exporter.W001",
        )

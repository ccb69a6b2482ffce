"""System checks of the settings; every id is documented, and none is ever given to another rule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from django_infra.exporter.conf import conf
from django_infra.exporter.delivery.checks import (
    check_fsync,
    check_path_prefix,
    check_storage,
    check_temp_dir,
)
from django_infra.exporter.exceptions import InvalidSetting
from django_infra.exporter.limits import find_limit_fault
from django_infra.exporter.registry import registry
from django_infra.exporter.writers.checks import check_escape_formulas, check_formats

MAX_ATTEMPTS = 20


def check_settings(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check each setting of the exporter."""
    return [
        *check_storage(),
        *check_formats(),
        *_check_chunk_size(),
        *check_path_prefix(),
        *check_temp_dir(),
        *check_escape_formulas(),
        *check_fsync(),
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
        check_temp_dir,
        check_escape_formulas,
        check_fsync,
        _check_lease,
        _check_attempts,
        _check_limits,
    ):
        for message in check():
            raise InvalidSetting(message.msg)
    _ = conf.session_settings


def _check_chunk_size() -> Iterator[CheckMessage]:
    if type(conf.chunk_size) is not int or conf.chunk_size < 1:
        yield Error(
            f"EXPORTER_CHUNK_SIZE is {conf.chunk_size!r}, but must be a positive integer.",
            id="exporter.E003",
        )


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

"""Check where files are made and saved."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.files.storage import storages

from django_infra.exporter.conf import conf
from django_infra.exporter.delivery import get_delivery
from django_infra.exporter.delivery.paths import MAX_ID_LENGTH, find_fault
from django_infra.exporter.exceptions import InvalidSetting


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


def check_temp_dir() -> Iterator[CheckMessage]:
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


def check_fsync() -> Iterator[CheckMessage]:
    try:
        _ = conf.fsync
    except InvalidSetting as error:
        yield Error(str(error), id="exporter.E043")


def check_temp_folder(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Warn when any user of the machine may replace unfinished files."""
    if os.name != "posix":
        return []
    try:
        delivery = get_delivery(storages[conf.storage], "x", temp_name="x")
        folder = Path(delivery.get_temp_dir()).resolve()
        shared = next(filter(_is_free_for_all, (folder, *folder.parents)), None)
    except Exception:  # other checks say what is wrong with the storage or the folder
        return []
    if shared is None:
        return []
    return [
        Warning(
            f"Unfinished files are made in {str(folder)!r}, and every user of the machine may "
            f"replace what is in {str(shared)!r}: it has no sticky bit.",
            hint=f"Run chmod +t {str(shared)!r}, or set EXPORTER_TEMP_DIR to a folder of your own.",
            id="exporter.W040",
        )
    ]


def _is_free_for_all(folder: Path) -> bool:
    if not folder.exists():
        return False
    mode = folder.stat().st_mode
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX

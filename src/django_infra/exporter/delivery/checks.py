"""Check the folder of unfinished files."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Warning
from django.core.files.storage import storages

from django_infra.exporter.conf import conf
from django_infra.exporter.delivery import get_delivery


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

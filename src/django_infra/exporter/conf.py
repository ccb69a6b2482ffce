"""Read the ``EXPORTER_*`` settings from Django's at each access."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings

from django_infra.exporter.exceptions import InvalidSetting

# Names of settings become a part of SQL, where nothing can quote them.
SESSION_SETTING = re.compile(r"@?[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


class Settings:
    """Typed, uncached view of the ``EXPORTER_*`` settings."""

    # Nothing is kept, so that override_settings() works in tests. The system checks tell what is
    # wrong with a value; here only those are refused that would do harm without an error.

    @property
    def storage(self) -> str:
        """Alias in STORAGES of the storage that receives the files."""
        return getattr(settings, "EXPORTER_STORAGE", "default")

    @property
    def formats(self) -> dict[str, dict[str, Any]]:
        """Formats by name, merged over the built-in ones."""
        return getattr(settings, "EXPORTER_FORMATS", {})

    @property
    def chunk_size(self) -> int:
        """Rows fetched from the database at a time, at most."""
        return getattr(settings, "EXPORTER_CHUNK_SIZE", 500)

    @property
    def path_prefix(self) -> str:
        """What the paths of exports begin with that name none."""
        return getattr(settings, "EXPORTER_PATH_PREFIX", "exports/")

    @property
    def temp_dir(self) -> str | None:
        """Folder of unfinished files; None stands for the storage's own folder."""
        return getattr(settings, "EXPORTER_TEMP_DIR", None)

    @property
    def escape_formulas(self) -> bool:
        """Whether text that a spreadsheet would run is neutralised."""
        value = getattr(settings, "EXPORTER_ESCAPE_FORMULAS", True)
        if not isinstance(value, bool):
            raise InvalidSetting(
                f"EXPORTER_ESCAPE_FORMULAS is {value!r}, but must be True or False."
            )
        return value

    @property
    def fsync(self) -> bool:
        """Whether a file is on the disk before its export succeeds."""
        value = getattr(settings, "EXPORTER_FSYNC", True)
        if not isinstance(value, bool):
            raise InvalidSetting(f"EXPORTER_FSYNC is {value!r}, but must be True or False.")
        return value

    @property
    def lease(self) -> float:
        """Seconds without a heartbeat after which a worker counts as lost."""
        return getattr(settings, "EXPORTER_LEASE", 60)

    @property
    def runner(self) -> dict[str, Any]:
        """Where the jobs of named exports run."""
        return getattr(settings, "EXPORTER_RUNNER", {})

    @property
    def max_attempts(self) -> int:
        """How often a job is begun, at most, if workers die or what it needs is away."""
        return getattr(settings, "EXPORTER_MAX_ATTEMPTS", 3)

    @property
    def retry_delay(self) -> float:
        """Seconds before the second attempt; each later one waits twice as long."""
        return getattr(settings, "EXPORTER_RETRY_DELAY", 5)

    @property
    def handover_timeout(self) -> float:
        """Seconds after which a job that no worker has taken is handed over again."""
        return getattr(settings, "EXPORTER_HANDOVER_TIMEOUT", 300)

    @property
    def max_rows(self) -> int | None:
        """Rows that an export may have."""
        return getattr(settings, "EXPORTER_MAX_ROWS", None)

    @property
    def max_file_size(self) -> int | None:
        """Bytes that the file of an export may have."""
        return getattr(settings, "EXPORTER_MAX_FILE_SIZE", None)

    @property
    def max_active_per_user(self) -> int | None:
        """Unfinished exports that a user may have."""
        return getattr(settings, "EXPORTER_MAX_ACTIVE_PER_USER", None)

    @property
    def expires_in(self) -> timedelta | None:
        """How long after its success the file of an export is kept."""
        return getattr(settings, "EXPORTER_EXPIRES_IN", None)

    @property
    def delete_rows_after(self) -> timedelta | None:
        """How long the row of an export is kept after its file, or after its failure."""
        return getattr(settings, "EXPORTER_DELETE_ROWS_AFTER", None)

    @property
    def admin_max_direct_rows(self) -> int:
        """Rows that a change list may have to be exported while the browser waits."""
        return getattr(settings, "EXPORTER_ADMIN_MAX_DIRECT_ROWS", 1000)

    @property
    def admin_related_depth(self) -> int:
        """Relations to follow for the columns that a change list is exported with."""
        return getattr(settings, "EXPORTER_ADMIN_RELATED_DEPTH", 2)

    @property
    def admin_request(self) -> str | None:
        """Dotted path of a ChangeListRequest, which completes the request of a worker."""
        return getattr(settings, "EXPORTER_ADMIN_REQUEST", None)

    @property
    def session_settings(self) -> Sequence[str]:
        """Settings of a database session on which rows depend, beside search path and role."""
        names: Any = getattr(settings, "EXPORTER_SESSION_SETTINGS", [])
        if not isinstance(names, list | tuple) or not all(
            isinstance(name, str) and SESSION_SETTING.fullmatch(name) for name in names
        ):
            raise InvalidSetting(
                f"EXPORTER_SESSION_SETTINGS is {names!r}, but must be a list of names of settings "
                "of a database session."
            )
        return names


conf = Settings()

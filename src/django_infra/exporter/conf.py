"""The settings of the exporter, read from Django's at each access."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from django_infra.exporter.exceptions import InvalidSetting


class Settings:
    """Typed, uncached view of the ``EXPORTER_*`` settings."""

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
        """Folder of unfinished files; None chooses one near the storage."""
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
    def lease(self) -> float:
        """Seconds without a heartbeat after which a worker counts as lost."""
        return getattr(settings, "EXPORTER_LEASE", 60)


conf = Settings()

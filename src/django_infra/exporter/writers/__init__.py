"""Find the formats that a project offers, by the names that are also their extensions."""

from __future__ import annotations

import posixpath
import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from django_infra.exporter.conf import conf
from django_infra.exporter.exceptions import (
    FileExtensionMissing,
    InvalidFormatOptions,
    InvalidFormatSetting,
    UnsupportedFormat,
)
from django_infra.exporter.plugins import explain, load
from django_infra.exporter.writers.base import Writer

MAX_FORMAT_LENGTH = 50  # characters: the length of QueryExport.format


@dataclass(frozen=True)
class BuiltinFormat:
    """A writer of ours, and the extra that installs the library it needs."""

    backend: str
    library: str | None = None
    extra: str | None = None

    @property
    def is_installed(self) -> bool:
        return self.library is None or find_spec(self.library) is not None


BUILTIN_FORMATS = {
    "csv": BuiltinFormat("django_infra.exporter.writers.csv.CSVWriter"),
}


def get_formats() -> dict[str, dict[str, Any]]:
    """Return the definition of each format, the project's own over the built-in ones.

    A built-in format whose library is not installed is left out.
    """
    formats: Any = conf.formats
    if not isinstance(formats, dict):
        raise InvalidFormatSetting(f"EXPORTER_FORMATS is {formats!r}, but must be a dict.")
    builtin = {
        name: {"BACKEND": format.backend}
        for name, format in BUILTIN_FORMATS.items()
        if format.is_installed
    }
    return {**builtin, **formats}


def check_format_name(name: object) -> None:
    """Raise InvalidFormatSetting unless the name can be an extension."""
    # Extensions are compared in lower case, so that a name in capitals would never be found.
    is_extension = isinstance(name, str) and re.fullmatch(r"[a-z0-9]+", name)
    if not is_extension or len(str(name)) > MAX_FORMAT_LENGTH:
        raise InvalidFormatSetting(
            f"the name {name!r} is not an extension; use up to {MAX_FORMAT_LENGTH} lower-case "
            "letters and digits."
        )


def choose_format(
    file_path: str | None, format: str | None, *, offered: Sequence[str] | None = None
) -> str:
    """Return the format that was asked for, or else the one that the path's extension names.

    Without either it is the first one offered. Raises UnsupportedFormat and FileExtensionMissing.
    """
    offered = list(get_formats()) if offered is None else offered
    supported = ", ".join(map(repr, sorted(offered)))
    if format is not None:
        if not isinstance(format, str) or format not in offered:
            raise UnsupportedFormat(
                f"Unsupported format {format!r}. Supported: {supported}{suggest_extra(format)}."
            )
        return format
    # Neither is given: the path is made later, with the extension of the format.
    if file_path is None:
        return offered[0]
    extension = posixpath.splitext(file_path)[1].removeprefix(".").lower()
    if not extension:
        raise FileExtensionMissing(
            f"File extension missing in file_path {file_path!r}. Add one of {supported}, "
            "or pass format."
        )
    if extension not in offered:
        raise UnsupportedFormat(
            f"Unsupported format {extension!r}, the extension of file_path {file_path!r}. "
            f"Supported: {supported}; another extension needs format{suggest_extra(extension)}."
        )
    return extension


def suggest_extra(name: object) -> str:
    """Return the line that installs a built-in format whose library is missing, if it is one."""
    builtin = BUILTIN_FORMATS.get(name) if isinstance(name, str) else None
    if builtin is None or builtin.is_installed:
        return ""
    return f'; {builtin.library} is not installed: pip install "django-infra[{builtin.extra}]"'


def get_writer(format: str, options: dict[str, Any] | None = None) -> Writer:
    """Return the format's writer, with the options over those of EXPORTER_FORMATS.

    Raises InvalidFormatSetting for what the setting says, InvalidFormatOptions for ``options``.
    """
    definition = get_formats()[format]
    # First as the setting has it, so that an error tells which of the two is wrong.
    writer: Writer = load(
        definition,
        Writer,
        setting=f"EXPORTER_FORMATS[{format!r}]",
        error_class=InvalidFormatSetting,
    )
    if options is None:
        return writer
    if not isinstance(options, dict):
        raise InvalidFormatOptions(f"options must be a dict, not {reprlib.repr(options)}.")
    writer_class = type(writer)
    try:
        return writer_class(**{**definition.get("OPTIONS", {}), **options})
    except (TypeError, ValueError) as error:
        raise InvalidFormatOptions(
            f"options {reprlib.repr(options)} do not suit the format {format!r} "
            f"({writer_class.__qualname__}): {explain(writer_class, error)}"
        ) from error

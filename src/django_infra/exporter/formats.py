"""The formats that a project offers, by the names that are also their extensions."""

from __future__ import annotations

import inspect
import posixpath
import re
import reprlib
from collections.abc import Sequence
from typing import Any

from django_infra.exporter.conf import conf
from django_infra.exporter.exceptions import (
    FileExtensionMissing,
    InvalidFormatOptions,
    InvalidFormatSetting,
    UnsupportedFormat,
)
from django_infra.exporter.paths import MAX_FORMAT_LENGTH
from django_infra.exporter.plugins import import_subclass
from django_infra.exporter.writers.base import Writer

BUILTIN_FORMATS: dict[str, dict[str, Any]] = {
    "csv": {"BACKEND": "django_infra.exporter.writers.csv.CSVWriter"},
}


def get_formats() -> dict[str, dict[str, Any]]:
    """Return the definition of each format, the project's own over the built-in ones."""
    formats: Any = conf.formats
    if not isinstance(formats, dict):
        raise InvalidFormatSetting(f"EXPORTER_FORMATS is {formats!r}, but must be a dict.")
    return {**BUILTIN_FORMATS, **conf.formats}


def check_format_name(name: object) -> None:
    """Raise InvalidFormatSetting unless the name can be an extension."""
    is_extension = isinstance(name, str) and re.fullmatch(r"[a-z0-9]+", name)
    if not is_extension or len(str(name)) > MAX_FORMAT_LENGTH:
        raise InvalidFormatSetting(
            f"the name {name!r} is no extension; use up to {MAX_FORMAT_LENGTH} lower-case letters "
            "and digits."
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
            raise UnsupportedFormat(f"Unsupported format {format!r}. Supported: {supported}.")
        return format
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
            f"Supported: {supported}; another extension needs format."
        )
    return extension


def get_writer(format: str, options: dict[str, Any] | None = None) -> Writer:
    """Return the format's writer, with the options over those of EXPORTER_FORMATS.

    Raises InvalidFormatSetting for what the setting says, InvalidFormatOptions for ``options``.
    """
    definition = get_formats()[format]
    writer_class = _import_writer(format, definition)
    defaults = definition.get("OPTIONS", {})
    try:
        writer = writer_class(**defaults)
    except (TypeError, ValueError) as error:
        raise InvalidFormatSetting(
            f"EXPORTER_FORMATS[{format!r}]['OPTIONS'] {defaults!r} do not suit "
            f"{writer_class.__qualname__}: {error}"
        ) from error
    if options is None:
        return writer
    if not isinstance(options, dict):
        raise InvalidFormatOptions(f"options must be a dict, not {reprlib.repr(options)}.")
    try:
        return writer_class(**{**defaults, **options})
    except (TypeError, ValueError) as error:
        allowed = ", ".join(map(repr, inspect.signature(writer_class).parameters)) or "none"
        raise InvalidFormatOptions(
            f"options {reprlib.repr(options)} do not suit the format {format!r} "
            f"({writer_class.__qualname__}): {str(error).rstrip('.')}. Allowed: {allowed}."
        ) from error


def _import_writer(format: str, definition: dict[str, Any]) -> type[Writer]:
    setting = f"EXPORTER_FORMATS[{format!r}]"
    if not isinstance(definition, dict) or "BACKEND" not in definition:
        raise InvalidFormatSetting(
            f"{setting} is {definition!r}, but must be a dict whose 'BACKEND' is the dotted path "
            "of a Writer."
        )
    writer_class: type[Writer] = import_subclass(
        definition["BACKEND"],
        Writer,
        setting=f"{setting}['BACKEND']",
        error_class=InvalidFormatSetting,
    )
    return writer_class

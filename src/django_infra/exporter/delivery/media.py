"""Warn of storage folders in which exports are public, or are not found again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FunctionType

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.core.files.storage import FileSystemStorage, storages
from django.urls import URLPattern, URLResolver, get_resolver
from django.views.static import serve

from django_infra.exporter.conf import conf
from django_infra.exporter.delivery.checks import check_path_prefix, check_storage

# The decorators of these modules let only some users in.
GUARDS = ("django.contrib.auth", "django.contrib.admin")


def check_location(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: object
) -> list[CheckMessage]:
    """Warn when the folder of the files is that where a process happens to be started."""
    storage = _get_file_system()
    # An empty MEDIA_ROOT, Django's default, is a relative one as well.
    if storage is None or os.path.isabs(location := os.fspath(storage.base_location)):
        return []
    return [
        Warning(
            f"The storage {conf.storage!r}, which EXPORTER_STORAGE names, has the location "
            f"{location!r}, which depends on where a process is started: exports are saved in "
            f"{storage.path(conf.path_prefix)!r} by this one.",
            hint="Set MEDIA_ROOT, or the location of that storage, to an absolute path.",
            id="exporter.W010",
        )
    ]


def check_media_urls(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: object
) -> list[CheckMessage]:
    """Warn when the project's own URLs serve the exports to everyone."""
    storage = _get_file_system()
    if storage is None or not getattr(settings, "ROOT_URLCONF", None):
        return []
    exports = Path(storage.path(conf.path_prefix)).resolve()
    return [
        Warning(
            f"The URL pattern {str(pattern.pattern)!r} serves {root!r} to everyone, and exports "
            f"are saved below it, in {str(exports)!r}.",
            hint="Point EXPORTER_STORAGE at a storage whose location no URL serves. Where a "
            "decorator of your own lets only some users in, silence the check.",
            id="exporter.W002",
        )
        for pattern, root in _find_served_folders(get_resolver().url_patterns)
        if exports.is_relative_to(Path(root).resolve())
    ]


def _get_file_system() -> FileSystemStorage | None:
    """Return the storage of the exports if it can be used, and is a folder."""
    # What is wrong with the settings has checks of its own.
    if any(check_storage()) or any(check_path_prefix()):
        return None
    storage = storages[conf.storage]
    return storage if isinstance(storage, FileSystemStorage) else None


def _find_served_folders(
    patterns: Sequence[URLPattern | URLResolver], defaults: Mapping[str, object] | None = None
) -> Iterator[tuple[URLPattern, str]]:
    """Yield the patterns of ``django.views.static.serve``, with the folder that each serves."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            inherited = {**(defaults or {}), **pattern.default_kwargs}
            yield from _find_served_folders(pattern.url_patterns, inherited)
        elif (bound := _unwrap(pattern.callback)) is not None:
            arguments = {**bound, **(defaults or {}), **pattern.default_args}
            # An empty root is the current folder, as an empty MEDIA_ROOT is.
            if (root := arguments.get("document_root")) is not None:
                yield pattern, os.fspath(root)


def _unwrap(view: object) -> dict[str, object] | None:
    """Return the arguments that wrappers give to ``serve``, or None if it is not for everyone."""
    arguments: dict[str, object] = {}
    is_served = False
    wrapped = [view]
    # The outermost comes first; the list grows by what each holds, in whatever way it holds it.
    for each in wrapped:
        if getattr(each, "__globals__", {}).get("__name__", "").startswith(GUARDS):
            return None
        # Of partials within each other, the outer one decides.
        arguments = {**getattr(each, "keywords", {}), **arguments}
        is_served = is_served or each is serve
        held = [getattr(each, "func", None), getattr(each, "__wrapped__", None)]
        for cell in getattr(each, "__closure__", None) or ():
            # A cell raises ValueError as long as it is empty.
            with suppress(ValueError):
                held.append(cell.cell_contents)
        wrapped += [
            inner
            for inner in held
            if isinstance(inner, FunctionType | partial) and inner not in wrapped
        ]
    return arguments if is_served else None

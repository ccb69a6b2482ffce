"""Ask for an export."""

from __future__ import annotations

import os
from typing import Any

from django.contrib.auth import get_user_model
from django.core.files.storage import storages
from django.db.models import QuerySet

from django_infra.exporter import pipeline
from django_infra.exporter.checks import require_settings
from django_infra.exporter.columns import Values, select
from django_infra.exporter.conf import conf
from django_infra.exporter.delivery import make_exists_error
from django_infra.exporter.exceptions import InvalidOwner
from django_infra.exporter.formats import choose_format, get_writer
from django_infra.exporter.models import QueryExport
from django_infra.exporter.paths import clean_path
from django_infra.exporter.recovery import fail_lost_exports


def export_queryset(
    qs: QuerySet[Any, Any],
    values: Values,
    file_path: str | os.PathLike[str] | None = None,
    *,
    format: str | None = None,
    created_by: Any = None,
    options: dict[str, Any] | None = None,
) -> QueryExport:
    """Export the rows of ``qs.values_list(*values)`` to a file and return its finished row.

    ``values`` holds names, or maps a name to its header or a header to an expression. The file
    goes to the storage of EXPORTER_STORAGE under ``file_path``, whose extension chooses the
    format unless ``format`` does; by default under ``exports/{id}.csv``. ``options`` are the
    format's: ``escape_formulas=False`` leaves text that a spreadsheet would run as it is.

    Raises InvalidExport, a ValueError, before anything is created, for what cannot be exported.
    Any later error leaves a row in state ``fail``, no file, and reaches the caller as it is.
    """
    require_settings()
    selection = select(qs, values)
    path = None if file_path is None else clean_path(file_path)
    format = choose_format(path, format)
    writer = get_writer(format, options)
    _check_owner(created_by)
    storage = storages[conf.storage]
    fail_lost_exports()
    if path is not None and storage.exists(path):
        raise make_exists_error(path)
    export = QueryExport.objects.schedule(
        model=qs.model,
        format=format,
        storage_alias=conf.storage,
        file_path=path,
        path_prefix=conf.path_prefix,
        created_by=created_by,
    )
    pipeline.run(export, selection, writer)
    return export


def _check_owner(user: Any) -> None:
    if user is not None and (not isinstance(user, get_user_model()) or user.pk is None):
        raise InvalidOwner(
            f"created_by must be a saved {get_user_model()._meta.label} or None, not {user!r}."
        )

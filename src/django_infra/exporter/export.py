"""Validate what a caller wants exported, create the row, and run the job or enqueue it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.core.files.storage import storages
from django.db import connections, router, transaction
from django.utils import timezone, translation

from django_infra.db.transaction import is_in_transaction
from django_infra.exporter.checks import require_settings
from django_infra.exporter.columns import AnyQuerySet, Values, select
from django_infra.exporter.conf import conf
from django_infra.exporter.delivery import make_barred_error, make_exists_error
from django_infra.exporter.delivery.paths import clean_path
from django_infra.exporter.exceptions import (
    HandoverFailed,
    InvalidExport,
    InvalidLimit,
    InvalidOwner,
)
from django_infra.exporter.housekeeping.recovery import FEW
from django_infra.exporter.jobs import pipeline
from django_infra.exporter.jobs.pipeline import Job
from django_infra.exporter.jobs.progress import Watch
from django_infra.exporter.jobs.worker import check_permission, open_job
from django_infra.exporter.limits import find_limit_fault
from django_infra.exporter.models import QueryExport
from django_infra.exporter.models.leftover import find_reserving
from django_infra.exporter.registry import registry
from django_infra.exporter.registry.named_export import User
from django_infra.exporter.registry.params import serialize
from django_infra.exporter.runners import Runner, get_runner
from django_infra.exporter.writers import choose_format, get_writer


def export_queryset(
    qs: AnyQuerySet,
    values: Values,
    file_path: str | os.PathLike[str] | None = None,
    *,
    format: str | None = None,
    created_by: User | None = None,
    options: dict[str, Any] | None = None,
    max_rows: int | None = None,
    max_file_size: int | None = None,
    expires_in: timedelta | None = None,
    watch: Watch | None = None,
) -> QueryExport:
    """Export the rows of ``qs.values_list(*values)`` to a file and return its finished row.

    ``values`` holds names, or maps a name to its header or a header to an expression. The file
    goes to the storage of EXPORTER_STORAGE under ``file_path``, whose extension chooses the
    format unless ``format`` does; by default under ``exports/{id}.csv``. ``options`` are the
    format's: ``escape_formulas=False`` leaves text that a spreadsheet would run as it is. The
    limits, in rows and bytes, fail an export that exceeds them, and stand for those of the
    settings; so does the time for which the file is kept. ``watch(row_count, total)`` is called as
    rows pass, with None as long as nobody has counted all.

    Raises InvalidExport, a ValueError, before anything is created, for what cannot be exported.
    Any later error leaves a row in state ``fail``, no file, and reaches the caller as it is.
    """
    require_settings()
    limits = {"max_rows": max_rows, "max_file_size": max_file_size, "expires_in": expires_in}
    for name, value in limits.items():
        if fault := find_limit_fault(name, value):
            raise InvalidLimit(f"{fault}.")
    selection = select(qs, values)
    path = None if file_path is None else clean_path(file_path)
    format = choose_format(path, format)
    job = Job.limited(
        selection,
        get_writer(format, options),
        max_rows=max_rows,
        max_file_size=max_file_size,
        expires_in=expires_in,
    )
    export = _schedule(job, format=format, path=path, created_by=created_by)
    pipeline.run(export, job, watch=watch)
    return export


def enqueue_export(
    name: str,
    params: Mapping[str, Any] | None = None,
    *,
    created_by: User | None = None,
    format: str | None = None,
    file_path: str | os.PathLike[str] | None = None,
) -> QueryExport:
    """Have the runner make the named export, and return its row.

    ``params`` are what the form of the export takes, as a request would send them. The user
    ``created_by`` needs the export's permission, now and when a worker begins; None is trusted
    code. The runner gets the job after the commit. With the default runner, which works at once,
    the returned row is finished unless a transaction is open.

    Raises InvalidExport, a ValueError, before anything is created, for what cannot be exported,
    and HandoverFailed, with the row in state ``fail``, if the runner does not take the job.
    """
    runner = get_runner()
    _check_transaction(router.db_for_write(QueryExport))
    export = schedule_export(
        name, params, created_by=created_by, format=format, file_path=file_path
    )
    transaction.on_commit(partial(_hand_over, export, runner), using=export.database)
    if not is_in_transaction(export.database):
        # An inline job has ended by now; a row may also be gone.
        with suppress(QueryExport.DoesNotExist):
            export.refresh_from_db(using=export.database)
    return export


def schedule_export(
    name: str,
    params: Mapping[str, Any] | None = None,
    *,
    created_by: User | None = None,
    format: str | None = None,
    file_path: str | os.PathLike[str] | None = None,
) -> QueryExport:
    """Create the row of a named export without handing it over; raise as ``enqueue_export()``."""
    require_settings()
    named = registry.get(name)
    _check_owner(created_by)
    check_permission(named, created_by)
    data = serialize(params)
    path = None if file_path is None else clean_path(file_path)
    format = choose_format(path, format, offered=named.get_formats())
    with open_job(named, data, user=created_by, format=format) as job:
        return _schedule(
            job,
            format=format,
            path=path,
            created_by=created_by,
            name=named.name,
            params=data,
            language=translation.get_language() or "",
            time_zone=timezone.get_current_timezone_name(),
        )


def _schedule(
    job: Job, *, format: str, path: str | None, created_by: User | None, **fields: Any
) -> QueryExport:
    _check_owner(created_by)
    recovery = get_runner().recover(limit=FEW)
    if path is not None:
        if storages[conf.storage].exists(path):
            raise make_exists_error(path)
        using = router.db_for_write(QueryExport)
        # A recovery that has found none spares the query.
        if recovery.may_have_leftovers and find_reserving(using, conf.storage, path).exists():
            raise make_barred_error(conf.storage, path)
    return QueryExport.objects.schedule(
        model=job.selection.queryset.model,
        columns=job.selection.describe_columns(),
        format=format,
        storage_alias=conf.storage,
        file_path=path,
        path_prefix=conf.path_prefix,
        created_by=created_by,
        max_active=conf.max_active_per_user,
        **fields,
    )


def _check_transaction(using: str) -> None:
    if is_in_transaction(using) and not connections[using].in_atomic_block:
        raise InvalidExport(
            f"enqueue_export() hands a job over after the commit, of which Django does not tell "
            f"while autocommit is off on the connection {using!r}; use atomic()."
        )


def _hand_over(export: QueryExport, runner: Runner) -> None:
    """Give the job to the runner, or say in the row that it did not take it."""
    try:
        runner.enqueue(export.id)
    except Exception as error:
        # What queues and their clients raise has no class in common.
        failure = HandoverFailed(
            f"{type(runner).__name__} did not take the job: {type(error).__name__}: {error}"
        )
        pipeline.record_failure(export, failure)
        raise failure from error


def _check_owner(user: User | None) -> None:
    if user is not None and (not isinstance(user, get_user_model()) or user.pk is None):
        raise InvalidOwner(
            f"created_by must be a saved {get_user_model()._meta.label} or None, not {user!r}."
        )

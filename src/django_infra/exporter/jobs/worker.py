"""What a worker does with a job: claim it, rebuild its queryset, and try until it ends."""

from __future__ import annotations

import logging
import re
import reprlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta, tzinfo
from datetime import timezone as tz
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth import get_user_model
from django.db import Error, router
from django.utils import timezone, translation

from django_infra.db.transaction import is_in_transaction
from django_infra.exporter.checks import require_settings
from django_infra.exporter.columns import select
from django_infra.exporter.conf import conf
from django_infra.exporter.delivery.paths import MAX_ID_LENGTH
from django_infra.exporter.exceptions import (
    ExportInterrupted,
    ExportNotPermitted,
    LeftToRecovery,
    shorten,
)
from django_infra.exporter.housekeeping.leftovers import remove_remains
from django_infra.exporter.housekeeping.recovery import FEW, recover_exports
from django_infra.exporter.jobs import pipeline
from django_infra.exporter.jobs.pipeline import Job
from django_infra.exporter.jobs.progress import INTERVAL, Watch, keep_alive
from django_infra.exporter.models import QueryExport
from django_infra.exporter.registry import registry
from django_infra.exporter.registry.named_export import NamedExport
from django_infra.exporter.registry.params import bind
from django_infra.exporter.signals import announce, export_started
from django_infra.exporter.transient_errors import is_transient
from django_infra.exporter.writers import choose_format, get_writer

logger = logging.getLogger(__name__)

EXPORT_ID = re.compile(rf"[\w-]{{1,{MAX_ID_LENGTH}}}")
FIXED_OFFSET = re.compile(r"(?:UTC)?(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d)")


def run_job(
    export_id: str,
    *,
    hand_over: Callable[[str], None] | None = None,
    watch: Watch | None = None,
) -> None:
    """Run the job if nobody else does or did; raise the error that it ends with.

    A job that is not there, or was cancelled, is no error. Neither is one that is left to the
    recovery, for which the database is away for too long. ``hand_over`` is as in
    ``recover_exports()``, which this calls first, and ``watch()`` as in ``export_queryset()``.
    """
    try:
        _run(export_id, hand_over, watch)
    except ExportInterrupted as error:
        logger.info("%s", error, exc_info=error.__cause__ and shorten(error.__cause__))
    except LeftToRecovery as error:
        logger.error("%s", error, exc_info=error.__cause__)


def _run(export_id: str, hand_over: Callable[[str], None] | None, watch: Watch | None) -> None:
    with _left_to_recovery(export_id):
        export = _find(export_id)
    try:
        recover_exports(hand_over, limit=FEW)
    except Exception:
        logger.exception("Could not look for lost exports.")
    if export is None:
        shown = export_id if _is_id(export_id) else reprlib.repr(export_id)
        logger.info("%s is not scheduled: deleted, cancelled, or taken by another.", shown)
        return
    # Whoever failed the last one may have been killed as well.
    if export.attempt and not remove_remains(export):
        logger.warning("%s waits until what its last attempt left can be removed.", export_id)
        return
    with _left_to_recovery(export_id):
        is_claimed = pipeline.claim(export)
    if not is_claimed:
        logger.info("%s was taken by another worker.", export_id)
        return
    _run_claimed(export, watch)


@contextmanager
def _left_to_recovery(export_id: str) -> Iterator[None]:
    """Raise LeftToRecovery if the block ends since the database is away, for all its insisting."""
    try:
        yield
    except Error as error:
        if is_in_transaction(router.db_for_write(QueryExport)) or not pipeline.may_pass(error):
            raise
        shown = export_id if _is_id(export_id) else reprlib.repr(export_id)
        raise LeftToRecovery(
            f"{shown} is left to the recovery: the database has been away for more than "
            f"{conf.lease * pipeline.PATIENCE:.3g} seconds, a third of EXPORTER_LEASE."
        ) from error


def _is_id(value: object) -> bool:
    # Anybody who can write to the queue can write anything, of any size.
    return isinstance(value, str) and EXPORT_ID.fullmatch(value) is not None


def _find(export_id: Any) -> QueryExport | None:
    if not _is_id(export_id):
        return None
    using = router.db_for_write(QueryExport)
    rows = QueryExport.objects.using(using).scheduled().filter(pk=export_id)
    return pipeline.insist(QueryExport(pk=export_id), rows.first)


@contextmanager
def open_job(
    named: NamedExport, params: dict[str, Any], *, user: Any, format: str
) -> Iterator[Job]:
    """Yield what the named export makes of parameters that are JSON, in its own context.

    Raises InvalidExport, and what the export's own functions raise.
    """
    cleaned = bind(named, params, user)
    with named.get_context(cleaned, user):
        yield Job.limited(
            select(named.get_queryset(cleaned, user), named.get_values(cleaned, user)),
            get_writer(format, dict(named.get_options(cleaned, user))),
            max_rows=named.max_rows,
            max_file_size=named.max_file_size,
            expires_in=named.expires_in,
        )


def check_permission(named: NamedExport, user: Any) -> None:
    """Raise ExportNotPermitted unless the user may run the export now; None is trusted code."""
    if user is None:
        if named.needs_user:
            raise ExportNotPermitted(f"The export {named.name!r} needs a user who asks for it.")
    elif not named.is_permitted(user):
        raise ExportNotPermitted(
            f"{user.get_username()!r} may not run the export {named.name!r}: the user is inactive "
            "or lacks its permission."
        )


def _run_claimed(export: QueryExport, watch: Watch | None) -> None:
    while (error := _attempt(export, watch)) is not None:
        try:
            with _left_to_recovery(export.id):
                _begin_next_attempt(export, error)
        except LeftToRecovery:
            # A database that is back by now would take a failure, and there are attempts left.
            raise
        except BaseException as interruption:
            pipeline.fail(export, interruption)


def _attempt(export: QueryExport, watch: Watch | None) -> BaseException | None:
    """Return an error after which another attempt makes sense; record and raise any other."""
    started, outer = time.monotonic(), sys.exception()
    try:
        with _as_asked(export), ExitStack() as stack:
            with keep_alive(export):
                if export.attempt == 1:
                    announce(export_started, export)
                job = stack.enter_context(_open(export))
            pipeline.attempt(export, job, watch=watch)
    except BaseException as error:
        if is_transient(error, outer=outer) and export.attempt < conf.max_attempts:
            logger.warning("%s will be tried again.", export.id, exc_info=shorten(error))
            return error
        pipeline.fail(export, error, started=started)
    return None


def _open(export: QueryExport) -> AbstractContextManager[Job]:
    """Make the job of the row anew, as much may have changed since it was asked for."""
    require_settings()
    named, user = registry.get(export.name), _load_owner(export)
    if export.owner_key and user is None:
        raise ExportNotPermitted(f"The user {export.owner_key!r} who asked is gone.")
    check_permission(named, user)
    choose_format(None, export.format, offered=named.get_formats())
    return open_job(named, export.params, user=user, format=export.format)


def _load_owner(export: QueryExport) -> Any:
    """Return the user as of now, and not of the last attempt or of a replica; None if gone."""
    users = get_user_model()._base_manager.using(export.database)
    return users.filter(query_exports=export.pk).first()


def _begin_next_attempt(export: QueryExport, error: BaseException) -> None:
    """Begin, and wait as long as what has failed may need."""
    # The row is about to forget the name of the last attempt.
    if not (export.is_clean or _settle(export)):
        raise LeftToRecovery(
            f"{export.id} is left to the recovery: what its last attempt left cannot be removed "
            "or remembered now."
        ) from error
    pipeline.try_again(export, error)
    end = time.monotonic() + conf.retry_delay * 2 ** (export.attempt - 2)
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, INTERVAL))
        pipeline.keep_claim(export)


def _settle(export: QueryExport) -> bool:
    """Remove the file of an attempt whose success nobody could ask about until now."""
    may_remove = pipeline.insist(export, export.preclude_success)
    return not may_remove or remove_remains(export)


@contextmanager
def _as_asked(export: QueryExport) -> Iterator[None]:
    """Speak the language, and read clocks in the time zone, of whoever asked."""
    with ExitStack() as stack:
        if language := _find_language(export.language):
            stack.enter_context(translation.override(language))
        if export.time_zone:
            stack.enter_context(timezone.override(_get_zone(export.time_zone)))
        yield


def _find_language(code: str) -> str | None:
    """Return the language of LANGUAGES, or None for another.

    Django loads the catalogue of any other from a path that has the code in it.
    """
    try:
        return translation.get_supported_language_variant(code)
    except (LookupError, ValueError):
        return None


def _get_zone(name: str) -> tzinfo:
    if match := FIXED_OFFSET.fullmatch(name):
        offset = timedelta(hours=int(match["hours"]), minutes=int(match["minutes"]))
        # Its name has a colon, without which Django misreads it on SQLite.
        return tz(-offset if match["sign"] == "-" else offset)
    return ZoneInfo(name)

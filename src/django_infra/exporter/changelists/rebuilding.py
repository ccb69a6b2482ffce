"""Rebuild a change list from what a job carries, in a worker or to see what one would find."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.auth import get_user_model
from django.db import router
from django.db.models import QuerySet
from django.http import HttpRequest

from django_infra.exporter.changelists.apart import run_apart
from django_infra.exporter.changelists.groups import OfferedColumn, list_columns
from django_infra.exporter.changelists.offers import list_groups
from django_infra.exporter.changelists.requests import make_request, restore, restore_middleware
from django_infra.exporter.changelists.rows import read_rows
from django_infra.exporter.changelists.statements import Statement, get_time
from django_infra.exporter.exceptions import ExportNotPermitted


@dataclass(frozen=True)
class Asked:
    """What a worker knows of a change list."""

    model_admin: ModelAdmin[Any]
    query: str
    selected: Sequence[str] | None
    # Of middleware: Django's own, and what EXPORTER_ADMIN_REQUEST has captured.
    middleware: Mapping[str, Any]
    captured: dict[str, Any]


@dataclass(frozen=True)
class Rebuilt:
    """The rows of a change list, and what they are to be read in."""

    asked: Asked
    user: Any
    rows: QuerySet[Any, Any]
    columns: Mapping[str, OfferedColumn]
    since: datetime
    until: datetime
    has_context: bool

    @contextmanager
    def context(self) -> Iterator[Statement]:
        """Enter what restore() returns, and yield the query as it is within."""
        with ExitStack() as stack:
            if self.has_context:
                _, manager = _make_request(self.asked, self.user)
                if manager is not None:
                    stack.enter_context(manager)
            yield Statement.read(self.rows, since=self.since, until=self.until)


def rebuild(asked: Asked, user: Any, *, paths: Collection[str] | None = None) -> Rebuilt:
    """Return the change list for the user; raise ExportNotPermitted and InvalidParams.

    With ``paths``, it has no columns but those of them that are offered. It is made apart, as what
    restore() leaves behind in a thread is nobody else's.
    """

    def work() -> Rebuilt:
        since, owner = get_time(), _load(user)
        request, manager = _make_request(asked, owner)
        with ExitStack() as stack:
            if manager is not None:
                stack.enter_context(manager)
            model_admin = asked.model_admin
            rows = read_rows(model_admin, request, asked.selected, is_rebuilt=True)
            needs_columns = paths is None or paths
            columns = (
                list_columns(list_groups(model_admin, request, rows, paths=paths))
                if needs_columns
                else {}
            )
        has_context = manager is not None
        return Rebuilt(asked, owner, rows, columns, since, get_time(), has_context)

    return run_apart(work)


def find_statement(asked: Asked, user: Any) -> Statement:
    """Return the query that a worker would run; raise as ``rebuild()``."""
    rebuilt = rebuild(asked, user, paths=())

    def work() -> Statement:
        with rebuilt.context() as statement:
            return statement

    return run_apart(work)


def _load(user: Any) -> Any:
    """Return the user as a worker has it: from the database, without what middleware added."""
    model = get_user_model()
    found = model._base_manager.using(router.db_for_write(model)).filter(pk=user.pk).first()
    if found is None:
        raise ExportNotPermitted(f"The user {user.get_username()!r} who asks is gone.")
    return found


def _make_request(
    asked: Asked, user: Any
) -> tuple[HttpRequest, AbstractContextManager[Any] | None]:
    request = make_request(asked.model_admin, user, query=asked.query)
    restore_middleware(request, asked.middleware)
    return request, restore(request, asked.captured)

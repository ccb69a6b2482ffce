"""Rebuild a change list from what a job carries, in a worker or to see what one would find."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import router
from django.db.models import Model

from django_infra.exporter.changelists.apart import run_apart
from django_infra.exporter.changelists.groups import OfferedColumn, list_columns
from django_infra.exporter.changelists.offers import list_groups
from django_infra.exporter.changelists.requests import make_request, restore, restore_middleware
from django_infra.exporter.changelists.rows import Listing
from django_infra.exporter.changelists.statements import Statement, get_time
from django_infra.exporter.columns import AnyQuerySet
from django_infra.exporter.exceptions import ExportNotPermitted
from django_infra.exporter.registry.named_export import User


@dataclass(frozen=True)
class CapturedListing:
    """What a job carries of a change list and its request."""

    model_admin: ModelAdmin[Model]
    query: str
    selected: Sequence[str] | None
    # What Django's own middleware added, and what EXPORTER_ADMIN_REQUEST has captured.
    middleware: Mapping[str, Any]
    captured: dict[str, Any]

    def restore(self, user: User) -> tuple[Listing, AbstractContextManager[Any] | None]:
        """Return the change list as the user would ask for it, and what to read it in."""
        request = make_request(self.model_admin, user, query=self.query)
        restore_middleware(request, self.middleware)
        listing = Listing(self.model_admin, request, self.query, self.selected, is_rebuilt=True)
        return listing, restore(request, self.captured)


@dataclass(frozen=True)
class Rebuilt:
    """The rows of a change list, and what they are to be read in."""

    captured: CapturedListing
    user: User
    rows: AnyQuerySet
    columns: Mapping[str, OfferedColumn]
    since: datetime
    until: datetime
    has_context: bool

    @contextmanager
    def context(self) -> Iterator[Statement]:
        """Enter what restore() returns, and yield the query as it is within."""
        manager = self.captured.restore(self.user)[1] if self.has_context else None
        with nullcontext() if manager is None else manager:
            yield Statement.read(self.rows, since=self.since, until=self.until)


def rebuild(
    captured: CapturedListing, user: User, *, paths: Collection[str] | None = None
) -> Rebuilt:
    """Return the change list for the user; raise ExportNotPermitted and InvalidParams.

    With ``paths``, it has no columns but those of them that are offered. It is made apart, as what
    restore() leaves behind in a thread is nobody else's.
    """

    def work() -> Rebuilt:
        since = get_time()
        model: type[AbstractBaseUser] = get_user_model()
        # A worker has the user from the database, without what middleware added.
        users = model._base_manager.using(router.db_for_write(model))
        owner = users.filter(pk=user.pk).first()
        if owner is None:
            raise ExportNotPermitted(f"The user {user.get_username()!r} who asks is gone.")
        listing, manager = captured.restore(owner)
        with nullcontext() if manager is None else manager:
            rows = listing.get_rows()
            needs_columns = paths is None or paths
            groups = list_groups(listing, rows, paths=paths) if needs_columns else ()
        columns = list_columns(groups)
        return Rebuilt(captured, owner, rows, columns, since, get_time(), manager is not None)

    return run_apart(work)


def find_statement(captured: CapturedListing, user: User) -> Statement:
    """Return the query that a worker would run; raise as ``rebuild()``."""
    rebuilt = rebuild(captured, user, paths=())

    def work() -> Statement:
        with rebuilt.context() as statement:
            return statement

    return run_apart(work)

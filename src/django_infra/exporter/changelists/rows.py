"""Open a change list as its user would, and return the rows that it shows."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.sites import all_sites
from django.contrib.admin.views.main import ALL_VAR, ERROR_FLAG, PAGE_VAR, ChangeList
from django.core.exceptions import SuspiciousOperation, ValidationError
from django.core.paginator import Paginator
from django.db.models import Model
from django.http import HttpRequest, QueryDict
from django.urls import get_resolver

from django_infra.exporter.changelists.doubles import list_once
from django_infra.exporter.changelists.requests import get_messages, has_urls, turn_request
from django_infra.exporter.columns import AnyQuerySet
from django_infra.exporter.exceptions import ExportNotPermitted, InvalidParams

# The function of an action that exports a change list has an attribute of this name.
ACTION_MARK = "exports_change_list"

# A search makes a condition of each word, and many take long to run.
MAX_QUERY_LENGTH = 8000  # characters

# They choose what a page shows, and which rows there are does not depend on them.
IGNORED = (ALL_VAR, ERROR_FLAG, PAGE_VAR, "_facets", "_popup", "_to_field")

# No integer column of a database holds it, nor what lies beyond.
MAX_KEY = 2**63

# What a change list raises for what it cannot read, such as the day after the last one.
REFUSALS = (
    IncorrectLookupParameters,
    OverflowError,
    SuspiciousOperation,
    ValidationError,
    ValueError,
)


def list_sites() -> list[AdminSite]:
    """Return the admin sites with their models, which may be registered where the URLs are."""
    if getattr(settings, "ROOT_URLCONF", None):
        _ = get_resolver().url_patterns
    sites: Iterable[Any] = all_sites
    return list(sites)


def find_admin(site_name: str, label: str) -> ModelAdmin[Model]:
    """Return that of the model on the site; raise InvalidParams if there is none."""
    found = [
        model_admin
        for site in list_sites()
        if site.name == site_name
        for model, model_admin in site._registry.items()
        if model._meta.label == label
    ]
    # Several sites may have the name by default; the page is that of the one with URLs.
    for model_admin in found:
        if len(found) == 1 or has_urls(model_admin):
            return model_admin
    raise InvalidParams(f"No admin site {site_name!r} has the model {label!r}.")


def has_export_action(actions: Iterable[Any]) -> bool:
    """Tell whether one of a ModelAdmin's actions exports its change list."""
    # An action was a tuple before Django 6.1.
    functions = [getattr(each, "func", None) or each[0] for each in actions]
    return any(hasattr(inspect.unwrap(function), ACTION_MARK) for function in functions)


def clean_query(text: str) -> str:
    """Return the query string without what only chooses a page; raise InvalidParams."""
    if len(text) > MAX_QUERY_LENGTH:
        raise InvalidParams(
            f"The query string of the change list is too long: it has {len(text)} characters, but "
            f"may have {MAX_QUERY_LENGTH}, as many as servers take in a URL."
        )
    try:
        query = QueryDict(text, mutable=True)
    except SuspiciousOperation as error:
        raise InvalidParams(f"The query string of the change list is too long: {error}") from error
    for name in IGNORED:
        query.pop(name, None)
    for name, values in query.lists():
        if any("\0" in each for each in (name, *values)):
            raise InvalidParams("The query string of the change list has a NUL character.")
    return query.urlencode()


@dataclass(frozen=True)
class Listing:
    """A change list as a user asks for it: of which admin, by which query, which of its rows."""

    model_admin: ModelAdmin[Model]
    # It has the user and what middleware adds, and may be that of another page.
    request: HttpRequest
    # The query string of the change list, as it was sent.
    query: str = ""
    # The keys of the ticked rows; None is for all that the query finds.
    selected: Sequence[str] | None = None
    # Nobody has sent the request: a worker has made it for the change list.
    is_rebuilt: bool = False

    @property
    def cleaned_query(self) -> str:
        """The query string without what only chooses a page; raises InvalidParams."""
        return clean_query(self.query)

    def get_rows(self) -> AnyQuerySet:
        """Return what the change list shows to the user, or those rows that are selected.

        Raises ExportNotPermitted, and InvalidParams for what the change list refuses.
        """
        request = self.get_own_request()
        self.check_permission(request)
        rows = list_once(self.open(request))
        if self.selected is None:
            return rows
        try:
            if any("\0" in key for key in self.selected):
                raise ValueError("A key has a NUL character.")
            # Keys are not validated, as a stored one need not be valid by the rules of today.
            pk: Any = rows.model._meta.pk
            keys = [pk.get_prep_value(each) for each in self.selected]
            # Some databases refuse to look for what they cannot hold.
            found = [key for key in keys if not isinstance(key, int) or -MAX_KEY <= key < MAX_KEY]
            return rows.filter(pk__in=found)
        except (OverflowError, TypeError, ValueError, ValidationError) as error:
            raise InvalidParams(
                f"The selected keys do not suit {rows.model._meta.label}."
            ) from error

    def get_own_request(self) -> HttpRequest:
        """Return a GET of the change list itself, which admins may change as they like."""
        if self.is_rebuilt:
            return self.request
        # A new one each time shows nothing of what an admin did to the last.
        return turn_request(self.request, self.model_admin, query=self.cleaned_query)

    def open(self, request: HttpRequest) -> ChangeList:
        """Return the change list for a request of its own; raise InvalidParams for its refusals."""
        quiet: Any = copy.copy(self.model_admin)
        quiet.paginator, quiet.show_full_result_count = _Uncounted, False
        label = self.model_admin.opts.label
        try:
            change_list: ChangeList = quiet.get_changelist_instance(request)
        except REFUSALS as error:
            raise InvalidParams(
                f"The change list of {label} refuses its filters: {error}"
            ) from error
        if said := get_messages(request):
            raise InvalidParams(f"The change list of {label} says: {' '.join(said)}")
        return change_list

    def check_permission(self, request: HttpRequest) -> None:
        """Raise ExportNotPermitted unless the user may export what the change list shows."""
        model_admin, user = self.model_admin, request.user
        site, model = model_admin.admin_site, model_admin.opts
        try:
            may_enter = site.has_permission(request)
        except Exception:
            if not self.is_rebuilt:
                raise
            # The site asks how the user has logged in, such as whether with a second factor. That
            # was asked as the page was shown; what a worker can ask is whether the user is staff
            # still.
            may_enter = AdminSite.has_permission(site, request)
        if not (may_enter and model_admin.has_view_or_change_permission(request)):
            raise ExportNotPermitted(
                f"{user.get_username()!r} may not view {model.label} on the admin site "
                f"{site.name!r}."
            )
        if not has_export_action(model_admin.get_actions(request).values()):
            raise ExportNotPermitted(
                f"{type(model_admin).__qualname__} does not offer the action export_selected to "
                f"{user.get_username()!r}."
            )


class _Uncounted(Paginator):  # type: ignore[type-arg]  # no generic at run time
    """Keep a change list from asking how many rows there are, and for those of a page."""

    count = 0

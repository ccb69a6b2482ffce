"""From a change list, as data, to the queryset of what it shows."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any, cast

from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.sites import all_sites
from django.contrib.admin.views.main import ALL_VAR, ERROR_FLAG, PAGE_VAR, ChangeList
from django.core.exceptions import SuspiciousOperation, ValidationError
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.urls import get_resolver

from django_infra.exporter.changelists.doubles import list_once
from django_infra.exporter.changelists.requests import get_messages, has_urls, turn_request
from django_infra.exporter.exceptions import ExportNotPermitted, InvalidParams

# What the function of an action has that exports a change list.
ACTION_MARK = "exports_change_list"

# Of each word in it a search makes a condition, which takes the longer the more there are.
MAX_QUERY_LENGTH = 8000  # characters

# Which rows there are does not depend on them.
IGNORED = (ALL_VAR, ERROR_FLAG, PAGE_VAR, "_facets", "_popup", "_to_field")

MAX_KEY = 2**63

# What a change list raises for what it cannot read, such as the day after the last one.
REFUSALS = (
    IncorrectLookupParameters,
    OverflowError,
    SuspiciousOperation,
    ValidationError,
    ValueError,
)


class _Uncounted(Paginator):  # type: ignore[type-arg]  # no generic at run time
    """Keep a change list from asking how many rows there are, and for those of a page."""

    count = 0


def find_admin(site_name: str, label: str) -> ModelAdmin[Any]:
    """Return that of the model on the site; raise InvalidParams if there is none."""
    # A site may be made, and its models registered, where the URLs are.
    _ = get_resolver().url_patterns
    sites: Any = all_sites
    found = [
        cast("ModelAdmin[Any]", model_admin)
        for site in sites
        if site.name == site_name
        for model, model_admin in site._registry.items()
        if model._meta.label == label
    ]
    # Several sites may have the name by default; the page is that of the one with URLs.
    for model_admin in found:
        if len(found) == 1 or has_urls(model_admin):
            return model_admin
    raise InvalidParams(f"No admin site {site_name!r} has the model {label!r}.")


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


def check_permission(
    model_admin: ModelAdmin[Any], request: HttpRequest, *, is_rebuilt: bool = False
) -> None:
    """Raise ExportNotPermitted unless the user may export what the change list shows."""
    site, model = model_admin.admin_site, model_admin.opts
    may_enter = _may_enter(site, request, is_rebuilt=is_rebuilt)
    if not (may_enter and model_admin.has_view_or_change_permission(request)):
        raise ExportNotPermitted(
            f"{request.user.get_username()!r} may not view {model.label} on the admin site "
            f"{site.name!r}."
        )
    actions: Any = model_admin.get_actions(request).values()
    # A tuple before Django 6.1.
    functions = [getattr(each, "func", None) or each[0] for each in actions]
    if not any(hasattr(inspect.unwrap(function), ACTION_MARK) for function in functions):
        raise ExportNotPermitted(
            f"{type(model_admin).__qualname__} does not offer the action export_selected to "
            f"{request.user.get_username()!r}."
        )


def _may_enter(site: AdminSite, request: HttpRequest, *, is_rebuilt: bool) -> bool:
    try:
        return site.has_permission(request)
    except Exception:
        if not is_rebuilt:
            raise
        # The site asks how the user has logged in, such as whether with a second factor. That was
        # asked as the page was shown; what a worker can ask is whether the user is staff still.
        return AdminSite.has_permission(site, request)


def get_rows(
    model_admin: ModelAdmin[Any],
    request: HttpRequest,
    *,
    query: str,
    selected: Sequence[str] | None,
) -> QuerySet[Any, Any]:
    """Return what the change list shows to the user of a request, or those rows that are selected.

    Raises ExportNotPermitted, and InvalidParams for what the change list refuses.
    """
    return read_rows(model_admin, turn_request(request, model_admin, query=query), selected)


def read_rows(
    model_admin: ModelAdmin[Any],
    request: HttpRequest,
    selected: Sequence[str] | None,
    *,
    is_rebuilt: bool = False,
) -> QuerySet[Any, Any]:
    """Return as ``get_rows()`` the rows for a request that is the change list's own.

    ``is_rebuilt`` says that no user has sent the request.
    """
    check_permission(model_admin, request, is_rebuilt=is_rebuilt)
    rows = list_once(open_change_list(model_admin, request))
    if selected is None:
        return rows
    try:
        # As the action of a change list finds them: a stored key need not be a valid one.
        return rows.filter(pk__in=_prepare_keys(rows.model, selected))
    except (OverflowError, TypeError, ValueError, ValidationError) as error:
        raise InvalidParams(f"The selected keys do not suit {rows.model._meta.label}.") from error


def _prepare_keys(model: Any, selected: Sequence[str]) -> list[Any]:
    """Return the keys without integers that no database has."""
    if any("\0" in key for key in selected):
        raise ValueError("A key has a NUL character.")
    keys = [model._meta.pk.get_prep_value(each) for each in selected]
    return [key for key in keys if not isinstance(key, int) or -MAX_KEY <= key < MAX_KEY]


def open_change_list(model_admin: ModelAdmin[Any], request: HttpRequest) -> ChangeList:
    quiet: Any = copy.copy(model_admin)
    quiet.paginator, quiet.show_full_result_count = _Uncounted, False
    label = model_admin.opts.label
    try:
        change_list: ChangeList = quiet.get_changelist_instance(request)
    except REFUSALS as error:
        raise InvalidParams(f"The change list of {label} refuses its filters: {error}") from error
    if said := get_messages(request):
        raise InvalidParams(f"The change list of {label} says: {' '.join(said)}")
    return change_list

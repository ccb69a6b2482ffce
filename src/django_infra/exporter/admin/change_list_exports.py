"""Lead from the action of a change list to its page of export, and start what that sends."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.exceptions import NotRegistered
from django.contrib.admin.helpers import ActionForm
from django.core.exceptions import SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import NoReverseMatch, URLPattern, path
from django.utils.http import urlencode
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from django_infra.exporter.admin.change_list_page import (
    ChangeListPage,
    get_change_list_url,
    get_url,
)
from django_infra.exporter.admin.pages import ExportPages
from django_infra.exporter.admin.starts import make_admin_view
from django_infra.exporter.changelists.rows import ACTION_MARK, Listing
from django_infra.exporter.columns import AnyQuerySet
from django_infra.exporter.exceptions import (
    ExportNotPermitted,
    InvalidExport,
    InvalidParams,
    OtherRows,
)

logger = logging.getLogger(__name__)

# What the page is asked with.
QUERY, SELECTED, IS_SELECTION = "query", "selected", "is_selection"
# The selected keys in one field, as a form may have no more fields than
# DATA_UPLOAD_MAX_NUMBER_FIELDS, and a page more rows.
KEYS = "keys"

NOT_SET_UP = gettext_noop("the site is not set up for it")

# Some servers and proxies take no longer one; the page then answers the action itself.
MAX_URL_LENGTH = 2000


# Any, since for mypy the admin of a project's own model is no ModelAdmin[Model].
@admin.action(permissions=["view"], description=_("Export selected %(verbose_name_plural)s"))
def export_selected(
    model_admin: admin.ModelAdmin[Any], request: HttpRequest, queryset: AnyQuerySet
) -> HttpResponse | None:
    """Ask how the ticked rows, or all that the change list finds, are to be exported."""
    site = model_admin.admin_site
    try:
        url = get_url(model_admin)
    except NoReverseMatch:
        message = gettext(
            "The admin site “%(site)s” has no pages for exports; it needs "
            "site.register(QueryExport, QueryExportAdmin)."
        ) % {"site": site.name}
        model_admin.message_user(request, message, messages.ERROR)
        return None
    is_across = ActionForm.base_fields["select_across"].to_python(request.POST.get("select_across"))
    ticked = request.POST.getlist(admin.helpers.ACTION_CHECKBOX_NAME)
    selected = None if is_across else ticked
    listing = Listing(model_admin, request, request.GET.urlencode(), selected)
    asked: dict[str, str | list[str]] = {QUERY: listing.query}
    if selected is not None:
        asked |= {IS_SELECTION: "1", SELECTED: selected}
    link = f"{url}?{urlencode(asked, doseq=True)}"
    return HttpResponseRedirect(link) if len(link) <= MAX_URL_LENGTH else _show(listing)


# The page and the worker look for the mark among the actions that the user is offered, which may
# be wrapped.
setattr(export_selected, ACTION_MARK, True)


def get_urls(export_admin: ExportPages) -> list[URLPattern]:
    view = make_admin_view(export_admin, change_list_view)
    route = "change-list/<str:app_label>/<str:model_name>/"
    return [path(route, view, name="exporter_queryexport_change_list")]


def change_list_view(
    export_admin: ExportPages,
    request: HttpRequest,
    app_label: str,
    model_name: str,
) -> HttpResponse:
    """Show the page for all rows that a query finds, or start what it was sent with."""
    try:
        model = apps.get_model(app_label, model_name)
        model_admin = export_admin.admin_site.get_model_admin(model)
    except (LookupError, NotRegistered) as error:
        raise Http404(f"No {app_label}.{model_name} is registered.") from error
    if request.method == "POST":
        query, selected = request.POST.get(QUERY, ""), _read_selected(request.POST)
        return _show(Listing(model_admin, request, query, selected), export_admin)
    if QUERY not in request.GET:
        # The change list's own, in which any name may be a filter's.
        return _show(Listing(model_admin, request, request.GET.urlencode()))
    query, selected = request.GET[QUERY], _read_selected(request.GET)
    return _show(Listing(model_admin, request, query, selected))


def _read_selected(data: QueryDict) -> list[str] | None:
    """Return the keys, or None for all rows; without keys, a selection is not all of them."""
    # Only the page's own form sends keys, and always as a list of texts.
    try:
        keys = json.loads(data.get(KEYS, "[]"))
    except (RecursionError, ValueError) as error:
        raise SuspiciousOperation("The selected keys are no JSON.") from error
    if not (isinstance(keys, list) and all(isinstance(key, str) for key in keys)):
        raise SuspiciousOperation("The selected keys are no list of texts.")
    selected = [*data.getlist(SELECTED), *keys]
    return selected if selected or data.get(IS_SELECTION) else None


def _show(listing: Listing, export_admin: ExportPages | None = None) -> HttpResponse:
    """Answer with the page, or with what it starts where an admin of exports is given."""
    try:
        page = ChangeListPage(listing)
    except ExportNotPermitted:
        # It is an InvalidExport too, and Django answers it as PermissionDenied.
        raise
    except OtherRows as error:
        return _refuse_rows(listing, error)
    except InvalidExport:
        message = gettext("These rows cannot be exported: the change list does not show them.")
        return _refuse(replace(listing, query=""), message)
    if listing.selected is not None and not listing.selected:
        return _refuse(listing, gettext("No row is selected."))
    page.bind(None if export_admin is None else listing.request.POST)
    try:
        if export_admin is not None:
            return page.start(export_admin) or page.render()
        page.check()
    except InvalidParams as error:
        return _refuse_rows(listing, error)
    return page.render()


def _refuse_rows(listing: Listing, error: InvalidParams) -> HttpResponse:
    logger.error("The rows cannot be exported. %s", error)
    reason = error.reason if isinstance(error, OtherRows) else gettext(NOT_SET_UP)
    message = gettext("These rows cannot be exported: %(reason)s. Ask whoever runs the site.")
    return _refuse(listing, message % {"reason": reason})


def _refuse(listing: Listing, message: str) -> HttpResponse:
    listing.model_admin.message_user(listing.request, message, messages.ERROR)
    return HttpResponseRedirect(get_change_list_url(listing.model_admin, listing.query))

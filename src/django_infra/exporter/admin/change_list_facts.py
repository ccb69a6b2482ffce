"""Say in words what the export of a change list was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from django.contrib.admin import ModelAdmin
from django.contrib.admin.utils import label_for_field
from django.contrib.admin.views.main import ORDER_VAR, SEARCH_VAR
from django.db.models import Model
from django.http import HttpRequest
from django.urls import NoReverseMatch
from django.utils import formats
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_infra.exporter.admin import facts
from django_infra.exporter.admin.change_list_page import get_change_list_url
from django_infra.exporter.admin.matching import get_label
from django_infra.exporter.changelists.export import HEADERS, NAME
from django_infra.exporter.changelists.rows import find_admin
from django_infra.exporter.exceptions import InvalidParams
from django_infra.exporter.models import QueryExport
from django_infra.exporter.registry.named_export import Params

Facts: TypeAlias = list[tuple[str, str]]


def list_change_list_facts(request: HttpRequest, export: QueryExport) -> Facts:
    """Return what it is called and what it is, for an export of a change list."""
    if export.name != NAME or not isinstance(export.params, dict):
        return []
    params: Params = export.params
    model_admin = _find_admin(request, params)
    query = str(params.get("query", ""))
    title = capfirst(facts.get_model_title(export))
    if model_admin is not None:
        # The change list may have no URL any more, and params sent by hand may hold any query.
        with suppress(InvalidParams, NoReverseMatch):
            url = get_change_list_url(model_admin, query)
            title = format_html('<a href="{}">{}</a>', url, title)
    rows = _("All that match")
    if params.get("is_selection"):
        count = len(_read_list(params, "selected"))
        selected = ngettext("%(count)s selected row", "%(count)s selected rows", count)
        rows = selected % {"count": formats.localize(count)}
    options = params.get("options")
    options = options if isinstance(options, dict) else {}
    headers = HEADERS.get(str(params.get("headers")))
    # Of a job that has not begun nobody knows more than the paths.
    columns = [] if export.columns else _read_list(params, "columns")
    found = [
        (_("Change list"), title),
        (_("Rows"), rows),
        *_describe_query(request, model_admin, parse_qsl(query)),
        (_("Columns"), ", ".join(str(each) for each in columns)),
        (_("Header names"), str(headers or "")),
        *((str(key), str(value)) for key, value in options.items()),
    ]
    return [(label, value) for label, value in found if value]


def _read_list(params: Params, name: str) -> list[object]:
    """Return what should be a list, of params that may have been sent by hand."""
    value = params.get(name)
    return value if isinstance(value, list) else []


def _find_admin(request: HttpRequest, params: Params) -> ModelAdmin[Model] | None:
    """Return that of the change list if the site has it still, and the user may view it."""
    try:
        model_admin = find_admin(str(params.get("site")), str(params.get("model")))
    except InvalidParams:
        return None
    may_view = model_admin.admin_site.has_permission(request)
    return model_admin if may_view and model_admin.has_view_permission(request) else None


def _describe_query(
    request: HttpRequest, model_admin: ModelAdmin[Model] | None, query: list[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    for key, value in query:
        if key == SEARCH_VAR:
            yield _("Search"), value
        elif key == ORDER_VAR:
            yield _("Ordering"), _say_order(request, model_admin, value)
        else:
            yield capfirst(get_label(model_admin, key) if model_admin else key), value


def _say_order(request: HttpRequest, model_admin: ModelAdmin[Model] | None, order: str) -> str:
    """Name the columns that the query string has by number."""
    if model_admin is None:
        return order
    # The numbers are those of ChangeList, for which the boxes of the actions are a column.
    boxes = ["action_checkbox"] if model_admin.get_actions(request) else []
    columns: list[Any] = [*boxes, *model_admin.get_list_display(request)]
    names = []
    for part in order.split("."):
        try:
            column = columns[int(part.removeprefix("-"))]
            name = str(label_for_field(column, model_admin.model, model_admin))
        except (AttributeError, IndexError, ValueError):
            # The columns may have changed since.
            return order
        name = capfirst(name)
        names.append(_("%(column)s, descending") % {"column": name} if part[0] == "-" else name)
    return " · ".join(names)

"""The named export of any change list."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, time
from typing import Any

from django import forms
from django.contrib.admin import ModelAdmin
from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_infra.exporter.changelists.groups import list_columns
from django_infra.exporter.changelists.offers import list_groups
from django_infra.exporter.changelists.requests import get_hook, make_request
from django_infra.exporter.changelists.rights import may_view
from django_infra.exporter.changelists.rows import clean_query, find_admin, get_rows, read_rows
from django_infra.exporter.columns import Column, Values
from django_infra.exporter.exceptions import ExportNotPermitted, InvalidParams
from django_infra.exporter.named import NamedExport
from django_infra.exporter.params import serialize

NAME = "admin-change-list"
HEADERS = {"verbose": _("Verbose names"), "names": _("Field names")}


class ListField(forms.Field):
    widget = forms.MultipleHiddenInput

    def to_python(self, value: Any) -> list[str]:
        return [str(each) for each in value or ()]


class ChangeListForm(forms.Form):
    """What a job carries of a change list."""

    site = forms.CharField()
    model = forms.CharField()
    query = forms.CharField(required=False, strip=False)
    # Whether the rows are those selected, or all of the change list.
    is_selection = forms.BooleanField(required=False)
    selected = ListField(required=False)
    columns = ListField()
    headers = forms.ChoiceField(choices=list(HEADERS.items()))
    options = forms.JSONField(required=False)
    request = forms.JSONField(required=False)


class ChangeListExport(NamedExport):
    """What the change list of an admin shows to the user who asks."""

    name = NAME
    verbose_name = _("Change list")
    permission = None
    needs_user = True
    is_listed = False
    form_class = ChangeListForm

    def get_queryset(self, params: dict[str, Any], user: Any) -> QuerySet[Any, Any]:
        return self._open(params, user)[1]

    def get_values(self, params: dict[str, Any], user: Any) -> Values:
        request, rows = self._open(params, user)
        model_admin = find_admin(params["site"], params["model"])
        columns = list_columns(list_groups(model_admin, request, rows))
        paths: list[str] = params["columns"]
        if refused := [path for path in paths if path not in columns]:
            raise ExportNotPermitted(
                f"The column {refused[0]!r} of {params['model']} is not offered to "
                f"{user.get_username()!r}."
            )
        if len(set(paths)) < len(paths):
            raise InvalidParams(f"A column is chosen twice: {', '.join(map(repr, paths))}.")
        vendor = connections[rows.db].vendor
        return [
            Column(
                each.get_value(vendor), each.path if params["headers"] == "names" else each.header
            )
            for each in map(columns.__getitem__, paths)
        ]

    def get_options(self, params: dict[str, Any], user: Any) -> Mapping[str, Any]:
        return params["options"] or {}

    def get_scope(self, params: dict[str, Any]) -> str:
        decisive = [params.get(name) for name in ("site", "model", "request")]
        return json.dumps(decisive, sort_keys=True)

    def may_download(self, user: Any, scope: str) -> bool:
        site, model, captured = json.loads(scope)
        return self.is_permitted(user) and may_view(
            user, site=site, model=model, captured=captured or {}
        )

    def _open(self, params: dict[str, Any], user: Any) -> tuple[HttpRequest, QuerySet[Any, Any]]:
        """Rebuild the change list once for all that asks for it."""
        if "opened" not in params:
            model_admin = find_admin(params["site"], params["model"])
            captured = params["request"] or {}
            request = make_request(model_admin, user, query=params["query"], captured=captured)
            selected = params["selected"] if params["is_selection"] else None
            params["opened"] = request, read_rows(model_admin, request, selected)
        opened: tuple[HttpRequest, QuerySet[Any, Any]] = params["opened"]
        return opened


def make_params(
    model_admin: ModelAdmin[Any],
    request: HttpRequest,
    *,
    query: str,
    selected: Sequence[str] | None,
    columns: Sequence[str],
    headers: str,
    options: Mapping[str, Any],
    shown: QuerySet[Any, Any] | None = None,
) -> dict[str, Any]:
    """Return what an export of the change list that the request would see is to carry.

    Raises ExportNotPermitted and InvalidParams, also where a worker would see other rows.
    """
    query = clean_query(query)
    if shown is None:
        shown = get_rows(model_admin, request, query=query, selected=selected)
    return {
        "site": model_admin.admin_site.name,
        "model": model_admin.opts.label,
        "query": query,
        "is_selection": selected is not None,
        "selected": list(selected or ()),
        "columns": list(columns),
        "headers": headers,
        "options": dict(options),
        "request": capture(model_admin, request, query=query, selected=selected, shown=shown),
    }


def capture(
    model_admin: ModelAdmin[Any],
    request: HttpRequest,
    *,
    query: str,
    selected: Sequence[str] | None,
    shown: QuerySet[Any, Any],
) -> dict[str, Any]:
    """Return what a worker's request is to have beside the user and the query string.

    Raises InvalidParams if it would not be shown the same rows.
    """
    captured = _capture(request)
    try:
        there = make_request(model_admin, request.user, query=query, captured=captured)
        is_same = _describe(read_rows(model_admin, there, selected)) == _describe(shown)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    else:
        reason = "" if is_same else "it shows other rows"
    if reason:
        raise InvalidParams(
            f"A worker cannot rebuild the change list of {model_admin.opts.label}: {reason}. "
            "It has the user and the query string of the request; EXPORTER_ADMIN_REQUEST can "
            "carry the rest."
        )
    return captured


def _capture(request: HttpRequest) -> dict[str, Any]:
    """Return what a worker's request is to have, as JSON gives it: with no keys but texts."""
    hook = get_hook()
    try:
        return serialize(hook.capture(request))
    except Exception as error:
        raise InvalidParams(
            f"{type(hook).__qualname__} of EXPORTER_ADMIN_REQUEST cannot capture the request: "
            f"{type(error).__name__}: {error}"
        ) from error


def renew_params(request: HttpRequest, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the params for an export of the same change list by whoever requests it now.

    What has been captured of somebody else's request is not theirs. Raises as ``make_params()``.
    """
    return make_params(
        find_admin(params.get("site", ""), params.get("model", "")),
        request,
        query=params.get("query", ""),
        selected=params.get("selected") if params.get("is_selection") else None,
        columns=params.get("columns", ()),
        headers=params.get("headers", "verbose"),
        options=params.get("options") or {},
    )


def _describe(rows: QuerySet[Any, Any]) -> Any:
    """Return which database is asked for the rows, and by which SQL, whatever time it is."""
    try:
        sql, params = rows.query.sql_with_params()
    except EmptyResultSet:
        return None
    known = [type(each) if isinstance(each, date | time) else each for each in params]
    return rows.db, sql, known

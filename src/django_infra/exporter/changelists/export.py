"""The named export of any change list."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django import forms
from django.contrib.admin import ModelAdmin
from django.core.exceptions import ValidationError
from django.db import connections
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_infra.exporter.changelists.rebuilding import Asked, Rebuilt, find_statement, rebuild
from django_infra.exporter.changelists.requests import capture_middleware, get_hook
from django_infra.exporter.changelists.rights import may_view
from django_infra.exporter.changelists.rows import clean_query, find_admin, get_rows
from django_infra.exporter.changelists.statements import Statement, get_time
from django_infra.exporter.columns import Column, Values
from django_infra.exporter.exceptions import ExportNotPermitted, InvalidParams, OtherRows
from django_infra.exporter.named import NamedExport
from django_infra.exporter.params import serialize

NAME = "admin-change-list"
ADVICE = (
    "It has the user and the query string of the request; EXPORTER_ADMIN_REQUEST can carry the "
    "rest."
)
HEADERS = {"verbose": _("Verbose names"), "names": _("Field names")}


class ListField(forms.Field):
    widget = forms.MultipleHiddenInput

    def to_python(self, value: Any) -> list[str]:
        return [str(each) for each in value or ()]


class TitlesField(forms.JSONField):
    def validate(self, value: Any) -> None:
        super().validate(value)
        if value is not None and not (
            isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
        ):
            raise ValidationError("The titles are no texts by path.")


class ChangeListForm(forms.Form):
    """What a job carries of a change list."""

    site = forms.CharField()
    model = forms.CharField()
    query = forms.CharField(required=False, strip=False)
    # Whether the rows are those selected, or all of the change list.
    is_selection = forms.BooleanField(required=False)
    selected = ListField(required=False)
    columns = ListField()
    # What the page calls them; the worker finds out itself what it is not told.
    titles = TitlesField(required=False)
    headers = forms.ChoiceField(choices=list(HEADERS.items()))
    options = forms.JSONField(required=False)
    request = forms.JSONField(required=False)
    middleware = forms.JSONField(required=False)
    # The query of the page, from which a worker's may not differ.
    statement = forms.JSONField()


class ChangeListExport(NamedExport):
    """What the change list of an admin shows to the user who asks."""

    name = NAME
    verbose_name = _("Change list")
    permission = None
    needs_user = True
    is_listed = False
    form_class = ChangeListForm

    @contextmanager
    def get_context(self, params: dict[str, Any], user: Any) -> Iterator[None]:
        rebuilt = self._rebuild(params, user)
        with rebuilt.context() as statement:
            try:
                Statement.load(params["statement"]).check(statement)
            except OtherRows as error:
                raise _explain(error, params["model"]) from error
            yield

    def get_queryset(self, params: dict[str, Any], user: Any) -> QuerySet[Any, Any]:
        return self._rebuild(params, user).rows

    def get_values(self, params: dict[str, Any], user: Any) -> Values:
        rebuilt = self._rebuild(params, user)
        columns = rebuilt.columns
        paths: list[str] = params["columns"]
        if refused := [path for path in paths if path not in columns]:
            raise ExportNotPermitted(
                f"The column {refused[0]!r} of {params['model']} is not offered to "
                f"{user.get_username()!r}."
            )
        if len(set(paths)) < len(paths):
            raise InvalidParams(f"A column is chosen twice: {', '.join(map(repr, paths))}.")
        vendor = connections[rebuilt.rows.db].vendor
        titles = {path: columns[path].header for path in paths} | (params["titles"] or {})
        return [
            Column(
                columns[path].get_value(vendor),
                path if params["headers"] == "names" else str(titles[path]),
            )
            for path in paths
        ]

    def get_options(self, params: dict[str, Any], user: Any) -> Mapping[str, Any]:
        return params["options"] or {}

    def get_scope(self, params: dict[str, Any]) -> str:
        decisive = [params.get(name) for name in ("site", "model", "middleware", "request")]
        return json.dumps(decisive, sort_keys=True)

    def may_download(self, user: Any, scope: str) -> bool:
        site, model, middleware, captured = json.loads(scope)
        return self.is_permitted(user) and may_view(
            user, site=site, model=model, middleware=middleware or {}, captured=captured or {}
        )

    def _rebuild(self, params: dict[str, Any], user: Any) -> Rebuilt:
        """Rebuild the change list once for all that asks for it."""
        if "rebuilt" not in params:
            asked = Asked(
                find_admin(params["site"], params["model"]),
                query=params["query"],
                selected=params["selected"] if params["is_selection"] else None,
                middleware=params["middleware"] or {},
                captured=params["request"] or {},
            )
            titles, paths = params["titles"] or {}, params["columns"]
            # A header depends on whatever else is called alike.
            has_titles = params["headers"] == "names" or not titles.keys() ^ paths
            params["rebuilt"] = rebuild(asked, user, paths=paths if has_titles else None)
        rebuilt: Rebuilt = params["rebuilt"]
        return rebuilt


def make_params(
    model_admin: ModelAdmin[Any],
    request: HttpRequest,
    *,
    query: str,
    selected: Sequence[str] | None,
    columns: Sequence[str],
    headers: str,
    options: Mapping[str, Any],
    titles: Mapping[str, str] | None = None,
    shown: Statement | None = None,
) -> dict[str, Any]:
    """Return what an export of the change list that the request would see is to carry.

    Raises ExportNotPermitted and InvalidParams, also where a worker would see other rows.
    """
    query = clean_query(query)
    if shown is None:
        since = get_time()
        rows = get_rows(model_admin, request, query=query, selected=selected)
        shown = Statement.read(rows, since=since, until=get_time())
    return {
        "site": model_admin.admin_site.name,
        "model": model_admin.opts.label,
        "query": query,
        "is_selection": selected is not None,
        "selected": list(selected or ()),
        "columns": list(columns),
        "titles": dict(titles or {}),
        "headers": headers,
        "options": dict(options),
        **capture(model_admin, request, query=query, selected=selected, shown=shown),
    }


def capture(
    model_admin: ModelAdmin[Any],
    request: HttpRequest,
    *,
    query: str,
    selected: Sequence[str] | None,
    shown: Statement,
) -> dict[str, Any]:
    """Return what a worker is to have beside the user and the query string.

    Raises InvalidParams if it would not be shown the same rows.
    """
    asked = Asked(
        model_admin,
        query=query,
        selected=selected,
        middleware=serialize(capture_middleware(request)),
        captured=_capture(request),
    )
    try:
        shown.check(find_statement(asked, request.user))
    except OtherRows as error:
        raise _explain(error, model_admin.opts.label) from error
    except Exception as error:
        raise InvalidParams(
            f"A worker cannot rebuild the change list of {model_admin.opts.label}: "
            f"{type(error).__name__}: {error}. {ADVICE}"
        ) from error
    return {
        "request": asked.captured,
        "middleware": dict(asked.middleware),
        "statement": shown.dump(),
    }


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


def _explain(error: OtherRows, label: str) -> OtherRows:
    text = f"A worker is not shown the rows of the change list of {label}: {error}. {ADVICE}"
    return OtherRows(text, error.reason)

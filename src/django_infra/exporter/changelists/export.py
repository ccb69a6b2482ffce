"""Declare the named export of any change list, and make what its jobs carry."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import connections
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_infra.exporter.changelists.rebuilding import (
    CapturedListing,
    Rebuilt,
    find_statement,
    rebuild,
)
from django_infra.exporter.changelists.requests import capture_middleware, get_hook
from django_infra.exporter.changelists.rights import may_view
from django_infra.exporter.changelists.rows import Listing, find_admin
from django_infra.exporter.changelists.statements import Statement, get_time
from django_infra.exporter.columns import AnyQuerySet, Column, Values
from django_infra.exporter.exceptions import ExportNotPermitted, InvalidParams, OtherRows
from django_infra.exporter.registry.named_export import NamedExport, Params, User
from django_infra.exporter.registry.params import serialize

NAME = "admin-change-list"
ADVICE = (
    "It has the user and the query string of the request; EXPORTER_ADMIN_REQUEST can carry the "
    "rest."
)
HEADERS = {"verbose": _("Verbose names"), "names": _("Field names")}


class ListField(forms.Field):
    """Take a list of texts, as JSON or a form's hidden inputs have it."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: Iterable[object] | None) -> list[str]:
        return [str(each) for each in value or ()]


class TitlesField(forms.JSONField):
    """Take the headers of columns by their paths."""

    def validate(self, value: object) -> None:
        super().validate(value)
        if value is not None and not (
            isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
        ):
            raise ValidationError("The titles are no texts by path.")


class ParamsForm(forms.Form):
    """Validate what a job carries of a change list."""

    site = forms.CharField()
    model = forms.CharField()
    query = forms.CharField(required=False, strip=False)
    # Whether the rows are those selected, or all of the change list.
    is_selection = forms.BooleanField(required=False)
    selected = ListField(required=False)
    columns = ListField()
    # The page sends what it calls them; a worker that is not told asks all pages for it.
    titles = TitlesField(required=False)
    headers = forms.ChoiceField(choices=list(HEADERS.items()))
    options = forms.JSONField(required=False)
    request = forms.JSONField(required=False)
    middleware = forms.JSONField(required=False)
    # A worker's query may not differ from that of the page, which this tells.
    statement = forms.JSONField()


class ModelAdminExport(NamedExport):
    """Export what the change list of a ModelAdmin shows to the user who asks."""

    name = NAME
    verbose_name = _("Change list")
    permission = None
    needs_user = True
    is_listed = False
    form_class = ParamsForm

    @contextmanager
    def get_context(self, params: Params, user: User) -> Iterator[None]:
        with self._rebuild(params, user).context() as statement:
            try:
                Statement.load(params["statement"]).check(statement)
            except OtherRows as error:
                raise _explain(error, params["model"]) from error
            yield

    def get_queryset(self, params: Params, user: User) -> AnyQuerySet:
        return self._rebuild(params, user).rows

    def get_values(self, params: Params, user: User) -> Values:
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

    def get_options(self, params: Params, user: User) -> Mapping[str, Any]:
        return params["options"] or {}

    def get_scope(self, params: Params) -> str:
        decisive = [params.get(name) for name in ("site", "model", "middleware", "request")]
        return json.dumps(decisive, sort_keys=True)

    def may_download(self, user: User, scope: str) -> bool:
        site, model, middleware, captured = json.loads(scope)
        return self.is_permitted(user) and may_view(
            user, site=site, model=model, middleware=middleware or {}, captured=captured or {}
        )

    def _rebuild(self, params: Params, user: User) -> Rebuilt:
        """Rebuild the change list once for all that asks for it."""
        if "rebuilt" not in params:
            captured = CapturedListing(
                find_admin(params["site"], params["model"]),
                query=params["query"],
                selected=params["selected"] if params["is_selection"] else None,
                middleware=params["middleware"] or {},
                captured=params["request"] or {},
            )
            titles, paths = params["titles"] or {}, params["columns"]
            # A header depends on whatever else is called alike, so that all columns are needed.
            has_titles = params["headers"] == "names" or not titles.keys() ^ paths
            params["rebuilt"] = rebuild(captured, user, paths=paths if has_titles else None)
        rebuilt: Rebuilt = params["rebuilt"]
        return rebuilt


def make_params(
    listing: Listing,
    *,
    columns: Sequence[str],
    headers: str,
    options: Mapping[str, Any],
    titles: Mapping[str, str] | None = None,
    shown: Statement | None = None,
) -> Params:
    """Return what an export of the change list is to carry.

    Raises ExportNotPermitted and InvalidParams, also where a worker would see other rows.
    """
    query = listing.cleaned_query
    if shown is None:
        since = get_time()
        rows = listing.get_rows()
        shown = Statement.read(rows, since=since, until=get_time())
    return {
        "site": listing.model_admin.admin_site.name,
        "model": listing.model_admin.opts.label,
        "query": query,
        "is_selection": listing.selected is not None,
        "selected": list(listing.selected or ()),
        "columns": list(columns),
        "titles": dict(titles or {}),
        "headers": headers,
        "options": dict(options),
        **capture(listing, shown),
    }


def capture(listing: Listing, shown: Statement) -> Params:
    """Return what a worker is to have beside the user and the query string.

    Raises InvalidParams if it would not be shown the same rows.
    """
    request, label = listing.request, listing.model_admin.opts.label
    middleware, hook = serialize(capture_middleware(request)), get_hook()
    try:
        # What JSON gives back has no keys but texts, in a worker as here.
        added = serialize(hook.capture(request))
    except Exception as error:
        raise InvalidParams(
            f"{type(hook).__qualname__} of EXPORTER_ADMIN_REQUEST cannot capture the request: "
            f"{type(error).__name__}: {error}"
        ) from error
    captured = CapturedListing(
        listing.model_admin, listing.cleaned_query, listing.selected, middleware, added
    )
    try:
        shown.check(find_statement(captured, request.user))
    except OtherRows as error:
        raise _explain(error, label) from error
    except Exception as error:
        raise InvalidParams(
            f"A worker cannot rebuild the change list of {label}: "
            f"{type(error).__name__}: {error}. {ADVICE}"
        ) from error
    return {"request": added, "middleware": middleware, "statement": shown.dump()}


def renew_params(request: HttpRequest, params: Params) -> Params:
    """Return the params for an export of the same change list by whoever requests it now.

    What has been captured of somebody else's request is not theirs. Raises as ``make_params()``.
    """
    listing = Listing(
        find_admin(params.get("site", ""), params.get("model", "")),
        request,
        query=params.get("query", ""),
        selected=params.get("selected") if params.get("is_selection") else None,
    )
    return make_params(
        listing,
        columns=params.get("columns", ()),
        headers=params.get("headers", "verbose"),
        options=params.get("options") or {},
    )


def _explain(error: OtherRows, label: str) -> OtherRows:
    text = f"A worker is not shown the rows of the change list of {label}: {error}. {ADVICE}"
    return OtherRows(text, error.reason)

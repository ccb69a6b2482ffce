"""What staff do with exports, on the list and on the page of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin import actions
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _

from django_infra.exporter.access import may_change
from django_infra.exporter.admin.outcomes import Outcome, tell
from django_infra.exporter.admin.start_rate import check_start_rate
from django_infra.exporter.changelists.export import NAME, renew_params
from django_infra.exporter.exceptions import (
    DatabaseLocked,
    ExporterError,
    ExportNotPermitted,
    HandoverFailed,
    StartsThrottled,
    TooManyExports,
)
from django_infra.exporter.export import enqueue_export
from django_infra.exporter.models import QueryExport


@admin.action(permissions=["cancel"], description=_("Cancel selected exports"))
def cancel_selected(model_admin: Any, request: HttpRequest, queryset: Any) -> None:
    tell(model_admin, request, cancel(queryset, request.user))


@admin.action(permissions=["run_again"], description=_("Run selected exports again"))
def run_selected_again(model_admin: Any, request: HttpRequest, queryset: Any) -> None:
    _started, outcomes = run_again(queryset.defer(None), request)
    tell(model_admin, request, outcomes)


@admin.action(permissions=["delete"], description=_("Delete selected exports with their files"))
def delete_selected(
    model_admin: Any, request: HttpRequest, queryset: Any
) -> HttpResponseBase | None:
    return actions.delete_selected(model_admin, request, queryset)


def cancel(exports: Iterable[QueryExport], user: Any) -> Counter[Outcome]:
    """Cancel what has not ended, as far as the user may, and count what became of each."""
    outcomes: Counter[Outcome] = Counter()
    for export in exports:
        if not may_change(user, export):
            outcomes[Outcome.FOREIGN] += 1
            continue
        try:
            outcomes[Outcome.CANCELLED if export.cancel(by=user) else Outcome.ENDED] += 1
        except DatabaseLocked:
            outcomes[Outcome.LOCKED] += 1
    return outcomes


def run_again(
    exports: Iterable[QueryExport], request: HttpRequest
) -> tuple[list[QueryExport], Counter[Outcome]]:
    """Start each export anew, for who asks now; return the new rows and what became of each."""
    outcomes: Counter[Outcome] = Counter()
    started = []
    for export in exports:
        if not export.has_ended:
            outcomes[Outcome.UNFINISHED] += 1
        elif not export.name:
            outcomes[Outcome.UNNAMED] += 1
        else:
            try:
                started.append(_start(export, request))
                outcomes[Outcome.STARTED] += 1
            except ExporterError as error:
                outcomes[_judge(error)] += 1
    return started, outcomes


def _start(export: QueryExport, request: HttpRequest) -> QueryExport:
    check_start_rate(request)
    params = export.params
    if export.name == NAME:
        params = renew_params(request, params)
    return enqueue_export(export.name, params, created_by=request.user, format=export.format)


def _judge(error: ExporterError) -> Outcome:
    if isinstance(error, ExportNotPermitted):
        return Outcome.FORBIDDEN
    if isinstance(error, StartsThrottled):
        return Outcome.TOO_OFTEN
    if isinstance(error, TooManyExports):
        return Outcome.TOO_MANY
    return Outcome.UNREACHABLE if isinstance(error, HandoverFailed) else Outcome.IMPOSSIBLE

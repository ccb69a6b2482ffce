"""Cancel exports, run them again and delete them, on the list and on the page of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from django.contrib import admin
from django.contrib.admin import actions
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _

from django_infra.exporter.access import UserWithPermissions, may_change
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

OUTCOMES: dict[type[ExporterError], Outcome] = {
    ExportNotPermitted: Outcome.FORBIDDEN,
    StartsThrottled: Outcome.TOO_OFTEN,
    TooManyExports: Outcome.TOO_MANY,
    HandoverFailed: Outcome.UNREACHABLE,
}


@admin.action(permissions=["cancel"], description=_("Cancel selected exports"))
def cancel_selected(
    model_admin: admin.ModelAdmin[QueryExport],
    request: HttpRequest,
    queryset: QuerySet[QueryExport],
) -> None:
    tell(model_admin, request, cancel(queryset, request.user))


@admin.action(permissions=["run_again"], description=_("Run selected exports again"))
def run_selected_again(
    model_admin: admin.ModelAdmin[QueryExport],
    request: HttpRequest,
    queryset: QuerySet[QueryExport],
) -> None:
    # The list defers the parameters, which are needed here.
    _started, outcomes = run_again(queryset.defer(None), request)
    tell(model_admin, request, outcomes)


@admin.action(permissions=["delete"], description=_("Delete selected exports with their files"))
def delete_selected(
    model_admin: admin.ModelAdmin[QueryExport],
    request: HttpRequest,
    queryset: QuerySet[QueryExport],
) -> HttpResponseBase | None:
    # It takes the place of Django's action of the same name, which says nothing of files.
    return actions.delete_selected(model_admin, request, queryset)


def cancel(exports: Iterable[QueryExport], user: UserWithPermissions) -> Counter[Outcome]:
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
                check_start_rate(request)
                params = export.params
                # A worker rebuilds a change list with what the request of whoever asks now holds.
                if export.name == NAME:
                    params = renew_params(request, params)
                again = enqueue_export(
                    export.name, params, created_by=request.user, format=export.format
                )
                started.append(again)
                outcomes[Outcome.STARTED] += 1
            except ExporterError as error:
                known = [found for kind, found in OUTCOMES.items() if isinstance(error, kind)]
                outcomes[known[0] if known else Outcome.IMPOSSIBLE] += 1
    return started, outcomes

"""List exports without their large fields, and answer what no filter can read."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.admin import ListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import Case, CharField, When
from django.db.models.fields.json import KT
from django.http import HttpRequest

from django_infra.exporter.admin.facts import ASKED, CANCELLED, IS_CANCELLED
from django_infra.exporter.changelists.export import NAME
from django_infra.exporter.models.query_export import QueryExportQuerySet

# What the search and the filters of a change list were, for its exports alone.
WHAT_WAS_ASKED = Case(When(name=NAME, then=KT("params__query")), output_field=CharField())
LARGE_FIELDS = ("error_log", "failures", "params", "columns")


def defer_large(rows: QueryExportQuerySet) -> QueryExportQuerySet:
    """Leave in the database what a list does not show; of the error tell whether it is one."""
    return rows.defer(*LARGE_FIELDS).annotate(**{CANCELLED: IS_CANCELLED})


class ExportChangeList(ChangeList):
    # What IncorrectLookupParameters answers leads back to the whole list; any other error would
    # be one of the server's.

    def get_filters(
        self, request: HttpRequest
    ) -> tuple[list[ListFilter], bool, dict[str, bool | str], bool, bool]:
        try:
            return super().get_filters(request)
        except (OverflowError, ValueError) as error:
            # The date hierarchy looks for the day after, and the last day of all has none.
            raise IncorrectLookupParameters from error

    def get_filters_params(self, params: dict[str, Any] | None = None) -> dict[str, Any]:
        found: dict[str, Any] = super().get_filters_params(params)
        # PostgreSQL answers a NUL with an error.
        if any("\0" in text for values in found.values() for text in values):
            raise IncorrectLookupParameters
        return found

    def get_results(self, request: HttpRequest) -> None:
        try:
            super().get_results(request)
        except OverflowError as error:
            # SQLite's answer to the number of a user that is none.
            raise IncorrectLookupParameters from error

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QueryExportQuerySet:
        rows = cast(QueryExportQuerySet, super().get_queryset(request, exclude_parameters))
        return defer_large(rows).annotate(**{ASKED: WHAT_WAS_ASKED})

    @property
    def is_moving(self) -> bool:
        """Whether a row of the page may change by itself."""
        return any(not export.has_ended for export in self.result_list)

"""Filter and order the list of exports in the REST API."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.db.models import Model, Q, QuerySet
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _
from django_filters import rest_framework as filters

from django_infra.api.filters import (
    AnyOfFilter,
    DateTimeRangeFilter,
    IntegerRangeFilter,
    OrderingFilter,
    SearchFilter,
)
from django_infra.exporter.access import list_names
from django_infra.exporter.models import ExportState, QueryExport
from django_infra.exporter.writers import get_formats


class UserKeyField(forms.CharField):
    """The key of a user, who need not exist: nobody is to learn who does."""

    def clean(self, value: str | None) -> object:
        text = super().clean(value)
        key = get_user_model()._meta.pk
        return key.clean(text, None) if text else None


class UserKeyFilter(filters.CharFilter):
    """Exports of the user with this key."""

    field_class = UserKeyField


class ExportSearchFilter(SearchFilter):
    """Search the file's own name alone: nobody is told of the folders of the storage."""

    def get_condition(self, qs: QuerySet[Model], lookup: str, path: str, word: str) -> Q:
        if path != "file_path":
            return super().get_condition(qs, lookup, path, word)
        # No name holds a slash.
        if "/" in word:
            return Q(pk__in=())
        return Q(file_path__iregex=rf"(^|/)[^/]*{re.escape(word)}[^/]*$")


class QueryExportFilterSet(filters.FilterSet):
    """What the list of exports can be filtered and ordered by."""

    state = AnyOfFilter(choices=ExportState.choices)
    format = AnyOfFilter(choices=lambda: [(name, name) for name in get_formats()])
    # Who asks decides on the choices, so that the request sets them.
    name = AnyOfFilter(choices=list)
    created_by = UserKeyFilter(max_length=255, help_text=_("Key of a user."))
    start_time = DateTimeRangeFilter()
    row_count = IntegerRangeFilter()
    file_size = IntegerRangeFilter()
    search = ExportSearchFilter(fields=["id", "file_path"])
    ordering = OrderingFilter(
        fields=[
            ("id", "id"),
            ("name", "name"),
            ("state", "state"),
            ("format", "format"),
            # By the key itself, and not by what users are ordered by.
            ("created_by_id", "created_by"),
            ("created_at", "created_at"),
            ("start_time", "start_time"),
            ("finished_at", "finished_at"),
            ("row_count", "row_count"),
            ("file_size", "file_size"),
        ]
    )

    class Meta:
        model = QueryExport
        fields: list[str] = []

    def __init__(
        self, data: QueryDict | None = None, queryset: QuerySet[Model] | None = None, **kwargs: Any
    ) -> None:
        renderer = getattr(kwargs.get("request"), "accepted_renderer", None)
        name = None if renderer is None else renderer.format
        # REST framework's own ?format= chooses how the answer is written.
        if data is not None and name not in get_formats() and data.getlist("format") == [name]:
            data = data.copy()
            del data["format"]
        super().__init__(data, queryset, **kwargs)
        user = getattr(self.request, "user", None)
        self.filters["name"].extra["choices"] = lambda: [(name, name) for name in list_names(user)]

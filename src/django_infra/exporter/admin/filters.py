"""Filter the list by what is configured, by whose exports they are, and by what is stuck."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias, cast

from django import forms
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import AutocompleteSelect
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_infra.exporter.access import list_names
from django_infra.exporter.conf import conf
from django_infra.exporter.models import QueryExport
from django_infra.exporter.models.query_export import QueryExportQuerySet
from django_infra.exporter.registry import registry
from django_infra.exporter.writers import get_formats

OWNER = "created_by"

# What a filter offers: the value in the query string, and how people read it.
Choices: TypeAlias = list[tuple[str, Any]]


class FormatFilter(admin.SimpleListFilter):
    title = _("format")
    parameter_name = "format"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[QueryExport]) -> Choices:
        # To find the formats of the rows, the database would look at all of them.
        return _add_current([(name, name) for name in get_formats()], self.value())

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[QueryExport]
    ) -> QuerySet[QueryExport]:
        return queryset.filter(format=self.value()) if self.value() else queryset


class NameFilter(admin.SimpleListFilter):
    title = _("name")
    parameter_name = "name"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[QueryExport]) -> Choices:
        labels = {named.name: named.verbose_name or named.name for named in registry.exports}
        names = list_names(request.user)
        return _add_current([(name, labels.get(name, name)) for name in names], self.value())

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[QueryExport]
    ) -> QuerySet[QueryExport]:
        return queryset.filter(name=self.value()) if self.value() else queryset


def _add_current(lookups: Choices, value: str | None) -> Choices:
    """Offer what is chosen even if it is not configured any more."""
    is_known = not value or value in {name for name, _label in lookups}
    return lookups if is_known else [*lookups, (str(value), value)]


class StuckFilter(admin.SimpleListFilter):
    """Exports that only a recovery moves on: the worker is gone, or none has come."""

    title = _("worker")
    parameter_name = "stuck"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[QueryExport]) -> Choices:
        return [("1", _("Stuck"))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[QueryExport]
    ) -> QuerySet[QueryExport]:
        if self.value() != "1":
            return queryset
        rows = cast(QueryExportQuerySet, queryset)
        return rows.unfinished().neglected(lease=conf.lease, timeout=conf.handover_timeout)


class OwnerFilter(admin.SimpleListFilter):
    """The user, found by typing, where the admin of users has a search."""

    title = _("user")
    parameter_name = OWNER
    template = "admin/exporter/queryexport/owner_filter.html"

    def __init__(
        self,
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Model],
        model_admin: admin.ModelAdmin[QueryExport],
    ) -> None:
        self.form_class = make_owner_form(model_admin.admin_site)
        super().__init__(request, params, model, model_admin)
        if value := self.value():
            # The database may answer a key of another type with an error.
            try:
                key = get_user_model()._meta.pk
                key.run_validators(key.to_python(value))
            except ValidationError as error:
                raise IncorrectLookupParameters from error

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[QueryExport]) -> Choices:
        return []

    def has_output(self) -> bool:
        # Django hides a filter without lookups.
        return True

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[QueryExport]
    ) -> QuerySet[QueryExport]:
        owner: Any = self.value()
        return queryset.filter(created_by=owner) if owner else queryset

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Yield the form and what else the address says, which stays when the form is sent."""
        yield {
            "form": self.form_class({OWNER: self.value() or ""}),
            "is_chosen": bool(self.value()),
            "query_string": changelist.get_query_string(remove=[OWNER]),
            "others": [
                (name, value)
                for name, values in changelist.filter_params.items()
                if name != OWNER
                for value in values
            ],
        }


def make_owner_form(admin_site: admin.AdminSite) -> type[forms.Form]:
    """Return the form in which the user is chosen whose exports the list shows."""
    relation = QueryExport._meta.get_field(OWNER)
    widget = AutocompleteSelect(relation, admin_site, attrs={"id": "export-owner"})

    class OwnerForm(forms.Form):
        created_by = forms.ModelChoiceField(
            get_user_model()._default_manager.all(),
            required=False,
            label=_("created by"),
            widget=widget,
        )

    return OwnerForm


def can_find_owners(admin_site: admin.AdminSite, request: HttpRequest) -> bool:
    """Tell whether the site lets the user look for users."""
    user_model = get_user_model()
    if not admin_site.is_registered(user_model):
        return False
    users = admin_site.get_model_admin(user_model)
    return bool(users.get_search_fields(request)) and users.has_view_permission(request)

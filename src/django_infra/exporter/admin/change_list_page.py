"""Ask on a page how the rows of a change list are to be exported."""

from __future__ import annotations

import json
import logging
from typing import Any

from django.contrib.admin import ModelAdmin
from django.db import DatabaseError
from django.db.models import Model
from django.http import HttpResponse, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_infra.exporter.admin.breadcrumbs import trace
from django_infra.exporter.admin.forms import (
    ChangeListExportForm,
    add_errors,
    is_valid,
    make_admin_form,
    make_options_forms,
)
from django_infra.exporter.admin.matching import describe_query
from django_infra.exporter.admin.pages import ExportPages
from django_infra.exporter.admin.remembered import remember
from django_infra.exporter.admin.starts import run, start
from django_infra.exporter.changelists.export import NAME, capture, make_params
from django_infra.exporter.changelists.groups import list_columns
from django_infra.exporter.changelists.offers import get_computed_names, list_groups
from django_infra.exporter.changelists.rows import Listing, clean_query
from django_infra.exporter.changelists.statements import Statement, get_time
from django_infra.exporter.columns import AnyQuerySet
from django_infra.exporter.conf import conf
from django_infra.exporter.exceptions import (
    HandoverFailed,
    InvalidExport,
    InvalidParams,
)
from django_infra.exporter.runners import get_runner
from django_infra.exporter.writers import get_formats

logger = logging.getLogger(__name__)

TEMPLATE = "admin/exporter/export_selected.html"
VIEW = "admin:exporter_queryexport_change_list"


class ChangeListPage:
    """Rows that a change list shows, and how a user wants them exported."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        # What the query holds of the clock was read between these two times.
        since = get_time()
        self.rows = listing.get_rows()
        until = get_time()
        self.groups = list_groups(listing, self.rows)
        self.count = _count(self.rows)
        self.statement = Statement.read(self.rows, since=since, until=until)

    @property
    def is_small(self) -> bool:
        """Whether the user can wait for it."""
        return self.count <= conf.admin_max_direct_rows

    def check(self) -> None:
        """Raise InvalidParams if a worker would not see these rows."""
        capture(self.listing, self.statement)

    def bind(self, data: QueryDict | None) -> None:
        """Make the forms, unbound if ``data`` is None: then they say what was asked last time."""
        formats = list(get_formats())
        last = remember(self.listing, self.groups, formats)
        self.form = ChangeListExportForm(
            data, groups=self.groups, formats=formats, initial=last.initial
        )
        self.options_forms = make_options_forms(formats, data, {last.format: last.options})

    def start(self, export_admin: ExportPages) -> HttpResponse | None:
        """Start what the forms say, or tell in them why that cannot be."""
        if not is_valid(self.form):
            return None
        format = self.form.cleaned_data["format"]
        options_form = self.options_forms.get(format)
        if options_form is not None and not is_valid(options_form):
            return None
        begin = run if self.is_small else start
        params = self._make_params(options_form.cleaned_data if options_form else {})
        try:
            return begin(export_admin, self.listing.request, NAME, params, format)
        except (InvalidExport, HandoverFailed) as error:
            add_errors(self.form, error)
            return None

    def _make_params(self, options: dict[str, Any]) -> dict[str, Any]:
        chosen, columns = self.form.get_chosen(), list_columns(self.groups)
        return make_params(
            self.listing,
            columns=chosen,
            titles={path: columns[path].header for path in chosen},
            headers=self.form.cleaned_data["headers"],
            options=options,
            shown=self.statement,
        )

    def render(self) -> HttpResponse:
        request, model_admin = self.listing.request, self.listing.model_admin
        query = self.listing.cleaned_query
        site, opts = model_admin.admin_site, model_admin.opts
        request.current_app = site.name
        title = gettext("Export %(name)s") % {"name": opts.verbose_name_plural}
        # The search and the filters did not choose rows that were ticked one by one.
        is_ticked = self.listing.selected is not None
        matching = [] if is_ticked else describe_query(self.listing)
        context = {
            **site.each_context(request),
            "title": title,
            "subtitle": None,
            "opts": opts,
            **trace(site, opts, (gettext("Export"), None)),
            "url": get_url(model_admin),
            "change_list_url": get_change_list_url(model_admin, query),
            "query": query,
            "selected": self.listing.selected,
            "keys": json.dumps(self.listing.selected),
            "matching": matching,
            "count": self.count,
            "number": number_format(self.count, force_grouping=True),
            "is_small": self.is_small,
            "is_awaited": not self.is_small and get_runner().works_at_once,
            "computed": get_computed_names(self.listing, self.groups),
            **self._get_form_context(),
        }
        return TemplateResponse(request, TEMPLATE, context)

    def _get_form_context(self) -> dict[str, object]:
        form, chosen = self.form, self.form.get_chosen()
        options = {
            name: make_admin_form(
                each, each.fields, gettext("Options of %(format)s") % {"format": name.upper()}
            )
            for name, each in self.options_forms.items()
        }
        has_errors = bool(form.errors) or any(each.errors for each in self.options_forms.values())
        # The page shows at once the change list's own columns, and whatever is chosen of others.
        groups = [
            (group, not group.path or any(column.path in chosen for column in group.columns))
            for group in self.groups
        ]
        return {
            "form": form,
            "file_form": make_admin_form(form, ["format", "headers"], _("File")),
            "options_forms": options,
            "has_errors": form.is_bound and has_errors,
            "non_field_errors": form.non_field_errors(),
            "groups": groups,
            "chosen": chosen,
        }


def _count(rows: AnyQuerySet) -> int:
    try:
        return rows.count()
    except (DatabaseError, OverflowError, ValueError) as error:
        # The admin takes some keys and filters that only the database refuses.
        logger.warning("The rows of a change list cannot be counted.", exc_info=True)
        raise InvalidParams(f"The rows cannot be counted: {error}") from error


def get_url(model_admin: ModelAdmin[Model]) -> str:
    opts, site = model_admin.opts, model_admin.admin_site
    return reverse(VIEW, args=[opts.app_label, opts.model_name], current_app=site.name)


def get_change_list_url(model_admin: ModelAdmin[Model], query: str = "") -> str:
    opts, site = model_admin.opts, model_admin.admin_site
    name = f"admin:{opts.app_label}_{opts.model_name}_changelist"
    url = reverse(name, current_app=site.name)
    cleaned = clean_query(query)
    return f"{url}?{cleaned}" if cleaned else url

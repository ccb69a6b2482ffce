"""Offer the named exports that a user may start, each with a page for its parameters."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.forms import BaseForm
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from django_infra.exporter.admin.breadcrumbs import trace
from django_infra.exporter.admin.forms import (
    FormatForm,
    add_errors,
    dress,
    is_valid,
    make_admin_form,
)
from django_infra.exporter.admin.pages import ExportPages
from django_infra.exporter.admin.starts import make_admin_view, start
from django_infra.exporter.exceptions import HandoverFailed, InvalidExport
from django_infra.exporter.registry import registry
from django_infra.exporter.registry.named_export import NamedExport, User

# Of the page's own field, beside those of the export.
PREFIX = "_start"


def get_urls(export_admin: ExportPages) -> list[URLPattern]:
    listed, single = (make_admin_view(export_admin, each) for each in (list_view, start_view))
    return [
        path("named/", listed, name="exporter_queryexport_named"),
        path("named/<str:name>/", single, name="exporter_queryexport_start"),
    ]


def list_view(export_admin: ExportPages, request: HttpRequest) -> HttpResponse:
    """Show the exports that the user may start."""
    exports = registry.get_permitted(request.user)
    title = _("Select an export to start")
    context = {"title": title, "exports": exports, **_trace(export_admin, request)}
    return _render(export_admin, request, "admin/exporter/named_exports.html", context)


def start_view(export_admin: ExportPages, request: HttpRequest, name: str) -> HttpResponseBase:
    """Ask for the parameters of an export, and start it."""
    named = _get_named(name, request.user)
    data = request.POST if request.method == "POST" else None
    form = named.get_form(data, request.user)
    dress(form)
    format_form = FormatForm(data, formats=named.get_formats(), prefix=PREFIX)
    if data is not None:
        started = _start(export_admin, request, named, form, format_form)
        if started is not None:
            return started
    parts: list[tuple[BaseForm, list[str]]] = [(form, list(form.fields)), (format_form, ["format"])]
    title = named.verbose_name or named.name
    context = {
        "title": _("Start an export"),
        "subtitle": title,
        "named": named,
        "forms": [make_admin_form(each, names) for each, names in parts if names],
        "has_errors": any(each.is_bound and each.errors for each, _names in parts),
        "form_media": form.media,
        "non_field_errors": form.non_field_errors(),
        **_trace(export_admin, request, (title, None)),
    }
    return _render(export_admin, request, "admin/exporter/named_export.html", context)


def _get_named(name: str, user: User) -> NamedExport:
    """Return the export of the name, or tell what is unknown from what is not permitted."""
    if name not in {export.name for export in registry.exports}:
        raise Http404(f"No export is registered as {name!r}.")
    for named in registry.get_permitted(user):
        if named.name == name:
            return named
    raise PermissionDenied(_("You may not run this export."))


def _start(
    export_admin: ExportPages,
    request: HttpRequest,
    named: NamedExport,
    form: BaseForm,
    format_form: FormatForm,
) -> HttpResponseBase | None:
    """Start the export, or tell in the forms why it cannot be."""
    if not (is_valid(form) and is_valid(format_form)):
        return None
    params = request.POST.copy()
    # What the page itself has sent beside the parameters; a form may refuse what it does not know.
    for key in ("csrfmiddlewaretoken", format_form.add_prefix("format")):
        params.pop(key, None)
    format = format_form.cleaned_data["format"]
    try:
        return start(export_admin, request, named.name, params, format)
    except (InvalidExport, HandoverFailed) as error:
        add_errors(form, error)
        return None


def _trace(
    export_admin: ExportPages, request: HttpRequest, *pages: tuple[object, None]
) -> dict[str, object]:
    """Return the way to the pages below the list, or to the list itself."""
    listed = (_("Start an export"), export_admin.get_link("named") if pages else None)
    is_hidden = not export_admin.has_view_permission(request)
    return trace(export_admin.admin_site, export_admin.opts, listed, *pages, is_hidden=is_hidden)


def _render(
    export_admin: ExportPages,
    request: HttpRequest,
    template: str,
    context: dict[str, object],
) -> HttpResponse:
    site = export_admin.admin_site
    request.current_app = site.name
    shared = {
        "media": export_admin.media,
        **site.each_context(request),
        "subtitle": None,
        "opts": export_admin.opts,
    }
    return TemplateResponse(request, template, {**shared, **context})

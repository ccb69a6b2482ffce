from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.admin.sites import all_sites
from django.core.checks import CheckMessage, Error, Warning
from django.urls import get_resolver

from django_infra.exporter.changelists.requests import get_hook, has_urls
from django_infra.exporter.changelists.rows import has_export_action
from django_infra.exporter.conf import conf
from django_infra.exporter.exceptions import InvalidSetting

MAX_DEPTH = 5
EXPORTS = "exporter.QueryExport"


def check_admin_settings(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check the settings of what the admin exports."""
    return [
        *_check_max_direct_rows(),
        *_check_related_depth(),
        *_check_request(),
        *_check_session_settings(),
    ]


def _check_max_direct_rows() -> Iterator[CheckMessage]:
    rows: Any = conf.admin_max_direct_rows
    if not _is_integer(rows) or rows < 0:
        yield Error(
            f"EXPORTER_ADMIN_MAX_DIRECT_ROWS is {rows!r}, but must be 0 or a positive integer.",
            hint="0 gives every export to the runner.",
            id="exporter.E012",
        )


def _check_related_depth() -> Iterator[CheckMessage]:
    depth: Any = conf.admin_related_depth
    if not _is_integer(depth) or not 0 <= depth <= MAX_DEPTH:
        yield Error(
            f"EXPORTER_ADMIN_RELATED_DEPTH is {depth!r}, but must be an integer from 0 to "
            f"{MAX_DEPTH}.",
            hint="0 offers the model's own columns alone.",
            id="exporter.E013",
        )


def _check_request() -> Iterator[CheckMessage]:
    try:
        get_hook()
    except InvalidSetting as error:
        yield Error(
            str(error),
            hint="Subclass django_infra.exporter.changelists.requests.ChangeListRequest.",
            id="exporter.E014",
        )


def _check_session_settings() -> Iterator[CheckMessage]:
    try:
        _ = conf.session_settings
    except InvalidSetting as error:
        yield Error(
            str(error),
            hint='PostgreSQL names them as "app.tenant", and MySQL as "@tenant".',
            id="exporter.E020",
        )


def check_admin_sites(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Warn of sites that offer to export change lists, and have no pages for it."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return []
    # A site may be made, and its models registered, where the URLs are.
    _ = get_resolver().url_patterns
    sites: Any = all_sites
    return [
        Warning(
            f"The admin site {site.name!r} offers the action export_selected, for "
            f"{offered[0]!r}, but has no pages for exports.",
            hint="site.register(QueryExport, QueryExportAdmin) adds them.",
            id="exporter.W003",
        )
        for site in sites
        if not _has_pages(site) and (offered := _list_offering(site))
    ]


def list_exported_models() -> list[str]:
    """Return the models whose change lists are exported on a site with pages for it."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return []
    _ = get_resolver().url_patterns
    sites: Any = all_sites
    return [label for site in sites if _has_pages(site) for label in _list_offering(site)]


def _has_pages(site: AdminSite) -> bool:
    return any(model._meta.label == EXPORTS for model in site._registry)


def check_admin_columns(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check what admins and inlines say of the columns that may be exported."""
    if getattr(settings, "ROOT_URLCONF", None):
        _ = get_resolver().url_patterns
    sites: Any = all_sites
    kinds = dict.fromkeys(
        kind
        for site in sites
        for model_admin in site._registry.values()
        for kind in (type(model_admin), *model_admin.inlines)
    )
    return [
        Error(
            f"{kind.__qualname__}.export_same_for_all_rows is {value!r}, but must be True or "
            "False.",
            hint="True says that its pages hide nothing of some rows alone.",
            obj=kind,
            id="exporter.E030",
        )
        for kind in kinds
        if not isinstance(value := getattr(kind, "export_same_for_all_rows", False), bool)
    ]


def _list_offering(site: AdminSite) -> list[str]:
    """Return the models whose change lists have a URL and the action."""
    admins: Mapping[Any, Any] = site._registry
    return [
        model._meta.label
        for model, model_admin in admins.items()
        # Its actions for whatever request.
        if has_export_action(model_admin._get_base_actions()) and has_urls(model_admin)
    ]


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

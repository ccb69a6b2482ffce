"""Check the settings and the admins that exports of change lists depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from django.apps import AppConfig
from django.conf import settings
from django.contrib.admin import AdminSite
from django.core.checks import CheckMessage, Error, Warning

from django_infra.exporter.changelists.requests import get_hook, has_urls
from django_infra.exporter.changelists.rows import has_export_action, list_sites
from django_infra.exporter.conf import conf
from django_infra.exporter.exceptions import InvalidSetting

MAX_DEPTH = 5
EXPORTS = "exporter.QueryExport"


def check_admin_settings(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check the settings of what the admin exports."""
    faults: list[CheckMessage] = []
    rows: object = conf.admin_max_direct_rows
    if not _is_integer(rows) or rows < 0:
        faults.append(
            Error(
                f"EXPORTER_ADMIN_MAX_DIRECT_ROWS is {rows!r}, but must be 0 or a positive integer.",
                hint="0 gives every export to the runner.",
                id="exporter.E012",
            )
        )
    depth: object = conf.admin_related_depth
    if not _is_integer(depth) or not 0 <= depth <= MAX_DEPTH:
        faults.append(
            Error(
                f"EXPORTER_ADMIN_RELATED_DEPTH is {depth!r}, but must be an integer from 0 to "
                f"{MAX_DEPTH}.",
                hint="0 offers the model's own columns alone.",
                id="exporter.E013",
            )
        )
    return faults


def check_rebuilding(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check the settings of what a worker rebuilds change lists with."""
    faults: list[CheckMessage] = []
    try:
        get_hook()
    except InvalidSetting as error:
        hint = "Subclass django_infra.exporter.changelists.requests.ChangeListRequest."
        faults.append(Error(str(error), hint=hint, id="exporter.E014"))
    try:
        _ = conf.session_settings
    except InvalidSetting as error:
        hint = 'PostgreSQL names them as "app.tenant", and MySQL as "@tenant".'
        faults.append(Error(str(error), hint=hint, id="exporter.E020"))
    return faults


def check_admin_sites(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Warn of sites that offer to export change lists, and have no pages for it."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return []
    return [
        Warning(
            f"The admin site {site.name!r} offers the action export_selected, for "
            f"{offered[0]!r}, but has no pages for exports.",
            hint="site.register(QueryExport, QueryExportAdmin) adds them.",
            id="exporter.W003",
        )
        for site in list_sites()
        if not _has_pages(site) and (offered := _list_offering(site))
    ]


def list_exported_models() -> list[str]:
    """Return the models whose change lists are exported on a site with pages for it."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return []
    return [label for site in list_sites() if _has_pages(site) for label in _list_offering(site)]


def _has_pages(site: AdminSite) -> bool:
    return any(model._meta.label == EXPORTS for model in site._registry)


def check_admin_columns(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check what admins and inlines say of the columns that may be exported."""
    kinds = dict.fromkeys(
        kind
        for site in list_sites()
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
        # What a request may be offered depends on it, so that all actions count here.
        if has_export_action(model_admin._get_base_actions()) and has_urls(model_admin)
    ]


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)

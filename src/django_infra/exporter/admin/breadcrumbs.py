"""Lead from the index of the admin to a page that is no model's own."""

from __future__ import annotations

from typing import Any

import django
from django.contrib.admin import AdminSite
from django.db.models.options import Options
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext


def trace(
    site: AdminSite, opts: Options[Any], *pages: tuple[object, str | None], is_hidden: bool = False
) -> dict[str, object]:
    """Return what breadcrumbs.html shows: the way to the pages of a model, and these pages.

    A page without a URL is the one that is shown. ``is_hidden`` leaves the model out.
    """

    def get_url(name: str, **kwargs: str) -> str:
        return reverse(f"admin:{name}", kwargs=kwargs, current_app=site.name)

    home = (gettext("Home"), get_url("index"))
    parents = [
        (opts.app_config.verbose_name, get_url("app_list", app_label=opts.app_label)),
        (
            capfirst(opts.verbose_name_plural),
            get_url(f"{opts.app_label}_{opts.model_name}_changelist"),
        ),
    ]
    return {
        "breadcrumbs": [home, *([] if is_hidden else parents), *pages],
        # The CSS of the admin dresses a list from Django 6.1 on, and links with signs between
        # them before.
        "breadcrumbs_are_list": django.VERSION >= (6, 1),
    }

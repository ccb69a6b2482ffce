"""Ask whether a user may still view a change list."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from django_infra.exporter.changelists.apart import run_apart
from django_infra.exporter.changelists.rebuilding import CapturedListing
from django_infra.exporter.changelists.rows import find_admin
from django_infra.exporter.exceptions import InvalidParams
from django_infra.exporter.registry.named_export import User

logger = logging.getLogger(__name__)


def may_view(
    user: User,
    *,
    site: str,
    model: str,
    middleware: Mapping[str, Any],
    captured: dict[str, Any],
) -> bool:
    """Tell whether the admin site still has the model, and lets the user view it.

    An error of the project's own code is logged, and is a no.
    """

    def look() -> bool:
        model_admin = find_admin(site, model)
        carried = CapturedListing(model_admin, "", None, middleware, captured)
        listing, manager = carried.restore(user)
        with manager or nullcontext():
            is_inside = model_admin.admin_site.has_permission(listing.request)
            return is_inside and model_admin.has_view_or_change_permission(listing.request)

    try:
        return run_apart(look)
    except InvalidParams:
        return False
    except Exception:
        logger.exception("Could not tell whether %r may view %r on %r.", user.pk, model, site)
        return False

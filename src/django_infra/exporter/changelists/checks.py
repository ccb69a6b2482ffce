from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error

from django_infra.exporter.changelists.requests import get_hook
from django_infra.exporter.conf import conf
from django_infra.exporter.exceptions import InvalidSetting

MAX_DEPTH = 5


def check_admin_settings(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check the settings of what the admin exports."""
    return [*_check_max_direct_rows(), *_check_related_depth(), *_check_request()]


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


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

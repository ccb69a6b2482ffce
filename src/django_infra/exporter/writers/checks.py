"""Check the formats and what holds for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error

from django_infra.exporter.conf import conf
from django_infra.exporter.exceptions import InvalidFormatSetting, InvalidSetting
from django_infra.exporter.writers import check_format_name, get_formats, get_writer


def check_formats() -> Iterator[CheckMessage]:
    formats: Any = conf.formats
    if not isinstance(formats, dict):
        yield Error(
            f"EXPORTER_FORMATS is {formats!r}, but must be a dict.",
            hint='Map a format\'s name, such as "tsv", to {"BACKEND": ..., "OPTIONS": {...}}.',
            id="exporter.E002",
        )
        return
    for name in get_formats():
        try:
            check_format_name(name)
            get_writer(name)
        except InvalidFormatSetting as error:
            yield Error(f"EXPORTER_FORMATS is invalid: {error}", id="exporter.E002")
        except InvalidSetting:
            # Another check has a name for it.
            continue


def check_escape_formulas() -> Iterator[CheckMessage]:
    try:
        _ = conf.escape_formulas
    except InvalidSetting as error:
        yield Error(str(error), id="exporter.E006")

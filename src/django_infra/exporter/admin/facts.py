"""Say in words and numbers what is known of an export."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import parse_qsl

from django.apps import apps
from django.contrib.admin.views.main import ORDER_VAR, SEARCH_VAR
from django.db.models import Q
from django.template.defaultfilters import filesizeformat
from django.utils import formats, timezone
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_infra.exporter.exceptions import ExportCancelled, get_type_name
from django_infra.exporter.models import ExportState, QueryExport
from django_infra.exporter.registry import registry

# The state of an export that was cancelled, as the admin shows it: its row has failed.
CANCELLED = "cancelled"
IS_CANCELLED = Q(state=ExportState.FAIL, error_log__startswith=f"{get_type_name(ExportCancelled)}:")
# What the list has of the query string of a change list.
ASKED = "asked"
MAX_ASKED_LENGTH = 60  # characters
SECOND = timedelta(seconds=1)
FEW = 10  # rows a second, below which a decimal says something


def get_title(export: QueryExport) -> str:
    """Return the name that people know: of the named export, or else of the model."""
    for named in registry.exports:
        if export.name and named.name == export.name:
            # What users are not offered is a way to export a model.
            is_offered = named.is_listed
            return str(named.verbose_name or named.name) if is_offered else get_model_title(export)
    return export.name or get_model_title(export)


def get_model_title(export: QueryExport) -> str:
    """Return the model's own name, or its label if the project has it no more."""
    try:
        return str(apps.get_model(export.model_label)._meta.verbose_name_plural)
    except (LookupError, ValueError):
        return export.model_label


def show_asked(export: QueryExport) -> str:
    """Return the search and the filters of a change list, if the list has asked for them."""
    # The list alone annotates its rows with it.
    pairs = parse_qsl(export.__dict__.get(ASKED) or "")
    names = {SEARCH_VAR: _("search")}
    words = [
        f"{names.get(key) or ' '.join(key.removesuffix('__exact').split('__'))}: {value}"
        for key, value in pairs
        if key != ORDER_VAR
    ]
    return Truncator(" · ".join(words)).chars(MAX_ASKED_LENGTH)


def is_cancelled(export: QueryExport) -> bool:
    """Ask what the database has found of the error where its text was not loaded."""
    if CANCELLED in export.__dict__:
        return bool(export.__dict__[CANCELLED])
    is_about = export.error_log.startswith(f"{get_type_name(ExportCancelled)}:")
    return is_about and export.state == ExportState.FAIL


def get_look(export: QueryExport) -> str:
    """Return the state that is shown, which tells what was cancelled from what went wrong."""
    return CANCELLED if is_cancelled(export) else export.state


def show_state(export: QueryExport) -> str:
    return _("Cancelled") if is_cancelled(export) else export.get_state_display()


def measure(export: QueryExport) -> timedelta | None:
    """Return how long the last attempt took, or takes until now."""
    if export.job_time is not None:
        return export.job_time
    if export.start_time is None:
        return None
    # Code may have ended the row without a time.
    end = export.finished_at if export.has_ended else timezone.now()
    return None if end is None else max(end - export.start_time, timedelta(0))


def show_duration(period: timedelta | None) -> str | None:
    if period is None:
        return None
    clock = str(timedelta(seconds=period.seconds))
    if period < SECOND:
        # Hours and minutes stay, so that it lines up with the longer ones beside it.
        return clock[:-1] + formats.number_format(period.total_seconds(), 2)
    if not period.days:
        return clock
    days = ngettext("%(count)s day", "%(count)s days", period.days) % {"count": period.days}
    return days if not period.seconds else f"{days} {clock}"


def show_rows(export: QueryExport) -> str | None:
    return None if export.row_count is None else formats.localize(export.row_count)


def show_size(export: QueryExport) -> str | None:
    return None if export.file_size is None else filesizeformat(export.file_size)


def show_rate(export: QueryExport) -> str | None:
    period = measure(export)
    if not period or not export.row_count or export.state == ExportState.SCHEDULED:
        return None
    rate = export.row_count / period.total_seconds()
    shown = formats.number_format(rate, 1) if rate < FEW else formats.localize(round(rate))
    return _("%(rate)s rows/s") % {"rate": shown}


def show_progress(export: QueryExport) -> str:
    """Return percent and rows, as far as they are known."""
    parts = []
    if export.progress_percent is not None:
        percent = formats.localize(export.progress_percent)
        parts.append(_("%(percent)s%%") % {"percent": percent})
    if export.row_count is not None:
        rows = ngettext("%(count)s row", "%(count)s rows", export.row_count)
        if export.state == ExportState.FAIL:
            # The worker reports now and then, and may have read more before it failed.
            rows = ngettext(
                "last reported: %(count)s row", "last reported: %(count)s rows", export.row_count
            )
        parts.append(rows % {"count": show_rows(export)})
    return " · ".join(parts)


def show_time(time: datetime | None) -> str | None:
    if time is not None and timezone.is_aware(time):
        time = timezone.localtime(time)
    return None if time is None else formats.localize(time)


def show_exact_time(time: datetime) -> str:
    """Return the time with its seconds, which the formats of languages leave out."""
    if timezone.is_aware(time):
        time = timezone.localtime(time)
    shown = {"date": formats.date_format(time), "time": formats.time_format(time, "H:i:s")}
    return _("%(date)s, %(time)s") % shown

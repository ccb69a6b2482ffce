"""Show exports as the cells of the list, the facts of the detail page, and the news of both."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_infra.exporter.access import is_refused
from django_infra.exporter.admin import facts
from django_infra.exporter.changelists.export import NAME
from django_infra.exporter.models import DataPath, ExportState, QueryExport

EMPTY = "-"
ICONS: dict[str, str] = {
    ExportState.SCHEDULED: "○",
    ExportState.PROCESSING: "◐",
    ExportState.SUCCESS: "✓",
    ExportState.FAIL: "✕",
    facts.CANCELLED: "⊘",
}
DATA_PATHS = {
    DataPath.COPY: gettext_lazy("COPY: the database wrote whole lines of the file."),
    DataPath.SQL: gettext_lazy("SQL: the database made the cells that it can make."),
    DataPath.PYTHON: gettext_lazy("Python: each row was converted by the worker."),
}


def show_badge(export: QueryExport) -> SafeString:
    return format_html(
        '<span class="export-badge export-badge-{}"{}>'
        '<span aria-hidden="true">{}</span> <span>{}</span></span>',
        facts.get_look(export),
        _mark(export, "state"),
        ICONS.get(facts.get_look(export), ""),
        facts.show_state(export),
    )


def show_bar(export: QueryExport) -> SafeString:
    """Return the bar, which moves to and fro as long as nobody has counted the rows."""
    is_open = export.state == ExportState.PROCESSING and export.progress_percent is None
    value = "" if is_open else format_html(' value="{}"', export.progress_percent or 0)
    return format_html(
        '<span class="export-progress">'
        '<progress max="100"{} aria-label="{}"{}></progress><span{}>{}</span></span>',
        value,
        _("Progress of %(title)s") % {"title": facts.get_title(export)},
        _mark(export, "bar"),
        _mark(export, "progress"),
        facts.show_progress(export),
    )


def show_download(export: QueryExport, url: str) -> SafeString | str:
    """Return the link, without its target as long as there is no file."""
    # A page with a row that moves fills the link in when the file is there.
    if export.has_ended and (not export.is_downloadable or is_refused(export)):
        return EMPTY
    return format_html(
        '<a class="export-download"{}{}>{}<span class="visually-hidden"> {}</span></a>',
        format_html(' href="{}"', url) if export.is_downloadable else mark_safe(" hidden"),
        _mark(export, "download"),
        _("Download"),
        export.pk,
    )


def show_moving(export: QueryExport, fact: str, text: str | None) -> SafeString | str:
    """Let the page find the text while it may change."""
    if export.has_ended:
        return text or EMPTY
    return format_html("<span{}>{}</span>", _mark(export, fact), text or EMPTY)


def _mark(export: QueryExport, fact: str) -> SafeString | str:
    """Return the attributes by which admin.js finds the fact to renew; what has ended stays."""
    if export.has_ended:
        return ""
    return format_html(' data-export="{}" data-fact="{}"', export.pk, fact)


def make_news(export: QueryExport, url: str) -> dict[str, object]:
    """Return all that a page shows of a row and that may have changed."""
    described = {"title": facts.get_title(export), "state": facts.show_state(export)}
    return {
        "state": facts.get_look(export),
        "label": described["state"],
        "icon": ICONS[facts.get_look(export)],
        "percent": export.progress_percent,
        "progress": facts.show_progress(export),
        "rows": facts.show_rows(export) or EMPTY,
        "size": facts.show_size(export) or EMPTY,
        "duration": facts.show_duration(facts.measure(export)) or EMPTY,
        "rate": facts.show_rate(export) or EMPTY,
        "start": facts.show_time(export.start_time) or EMPTY,
        "has_ended": export.has_ended,
        "download": url if export.is_downloadable and not is_refused(export) else None,
        "announcement": _("%(title)s: %(state)s") % described if export.has_ended else "",
    }


class ExportColumns:
    """The columns of the list that are no fields, for a ModelAdmin."""

    get_download_url: Callable[[QueryExport], str]

    @admin.display(description=gettext_lazy("export"), ordering="name")
    def title(self, export: QueryExport) -> str:
        title = capfirst(facts.get_title(export))
        if not (asked := facts.show_asked(export)):
            return title
        return format_html('{} <small class="export-asked">{}</small>', title, asked)

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def badge(self, export: QueryExport) -> SafeString:
        return show_badge(export)

    @admin.display(description=gettext_lazy("progress"), ordering="progress_percent")
    def progress(self, export: QueryExport) -> SafeString:
        return show_bar(export)

    @admin.display(description=gettext_lazy("rows"), ordering="row_count")
    def rows(self, export: QueryExport) -> str:
        return show_moving(export, "rows", facts.show_rows(export))

    @admin.display(description=gettext_lazy("size"), ordering="file_size")
    def size(self, export: QueryExport) -> str:
        return show_moving(export, "size", facts.show_size(export))

    @admin.display(description=gettext_lazy("duration"), ordering="job_time")
    def duration(self, export: QueryExport) -> str:
        return show_moving(export, "duration", facts.show_duration(facts.measure(export)))

    @admin.display(description=gettext_lazy("rate"))
    def rate(self, export: QueryExport) -> str:
        return show_moving(export, "rate", facts.show_rate(export))

    @admin.display(description=gettext_lazy("start time"), ordering="start_time")
    def start(self, export: QueryExport) -> str:
        return show_moving(export, "start", facts.show_time(export.start_time))

    @admin.display(description=gettext_lazy("download"))
    def download(self, export: QueryExport) -> str:
        return show_download(export, self.get_download_url(export))


class ExportFacts:
    """The facts of the detail page that are no fields, for a ModelAdmin."""

    @admin.display(description=gettext_lazy("file"))
    def stored_file(self, export: QueryExport) -> str:
        """Name the file; a link would lead nowhere where no URL serves the storage."""
        return export.file.name or EMPTY

    @admin.display(description=gettext_lazy("name"))
    def named_export(self, export: QueryExport) -> str:
        return export.name or EMPTY

    @admin.display(description=gettext_lazy("model"))
    def exported_model(self, export: QueryExport) -> str:
        return f"{facts.get_model_title(export)} ({export.model_label})"

    @admin.display(description=gettext_lazy("data path"))
    def way_of_data(self, export: QueryExport) -> str:
        return str(DATA_PATHS[DataPath(export.data_path)]) if export.data_path else EMPTY

    @admin.display(description=gettext_lazy("SHA-256"))
    def sha256(self, export: QueryExport) -> SafeString | str:
        """Show the checksum as ``sha256sum --check`` reads it."""
        checksum = export.checksum
        name = posixpath.basename(export.file_path)
        return format_html('<code dir="ltr">{}  {}</code>', checksum, name) if checksum else EMPTY

    @admin.display(description=gettext_lazy("columns"))
    def column_table(self, export: QueryExport) -> SafeString | str:
        # Code may have stored any JSON.
        columns = [each for each in export.columns or () if isinstance(each, dict)]
        rows = [(each.get("header", ""), each.get("name") or _("(expression)")) for each in columns]
        return _make_table(_("Header"), _("Name"), rows) if rows else EMPTY

    @admin.display(description=gettext_lazy("parameters"))
    def parameter_table(self, export: QueryExport) -> SafeString | str:
        if not isinstance(export.params, dict) or not export.params:
            return EMPTY
        # Those of a change list are said in words above, and here for whoever looks for a fault.
        if export.name == NAME:
            text = show_value(export.params)
            return format_html("<details><summary>{}</summary>{}</details>", _("Details"), text)
        rows = [(name, show_value(value)) for name, value in export.params.items()]
        return _make_table(_("Name"), _("Value"), rows)


def drop_empty(
    model_admin: admin.ModelAdmin[QueryExport],
    export: QueryExport | None,
    fieldsets: Iterable[tuple[Any, Any]],
) -> list[tuple[Any, Any]]:
    """Leave out the facts that there are none of, and the parts of the page that have no other."""

    def has_value(name: str) -> bool:
        method = getattr(model_admin, name, None)
        value = method(export) if method else getattr(export, name)
        return value not in (None, "", EMPTY)

    kept = []
    for title, options in fieldsets:
        lines = [each if isinstance(each, tuple) else (each,) for each in options["fields"]]
        shown = [tuple(filter(has_value, line)) for line in lines]
        if fields := [line for line in shown if line]:
            kept.append((title, {**options, "fields": fields}))
    return kept


def show_value(value: object) -> SafeString | str:
    """Return a JSON value as text: a list of one, which is what forms send, as the one."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        return value or EMPTY
    text = json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, indent=2)
    return (
        format_html('<pre tabindex="0" dir="ltr">{}</pre>', text)
        if isinstance(value, dict | list)
        else text
    )


def _make_table(first: str, second: str, rows: Iterable[tuple[object, object]]) -> SafeString:
    body = format_html_join("", '<tr><th scope="row">{}</th><td>{}</td></tr>', rows)
    return format_html(
        '<table class="export-table"><thead><tr><th scope="col">{}</th><th scope="col">{}</th>'
        "</tr></thead><tbody>{}</tbody></table>",
        first,
        second,
        body,
    )

from __future__ import annotations

from contextlib import suppress

from django_infra.exporter.sources.base import Plan, Source
from django_infra.exporter.sources.reader import Cells
from django_infra.exporter.sources.sqlite.cell_sql import get_form


class SQLiteSource(Source):
    """Read through SQLite's own cursor, which computes rows as they are fetched."""

    def interrupt(self) -> None:
        if raw := self.connection.connection:
            with suppress(self.driver.Error):
                raw.interrupt()

    def add_forms(self, plan: Plan, cells: Cells) -> Plan:
        suffix = self.get_datetime_suffix()
        forms = {
            position: form
            for position in plan.reader.positions
            if (form := get_form(plan.reader.get_conversion(position), datetime_suffix=suffix))
        }
        return self.put_forms(plan, forms)

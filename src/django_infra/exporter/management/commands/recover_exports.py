"""End the exports whose process is gone, or have workers take them over."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_infra.exporter.exceptions import InvalidSetting
from django_infra.exporter.runners import get_runner


class Command(BaseCommand):
    help = "Put an end to the exports whose process is gone, or have a worker take them over."

    def handle(self, *, verbosity: int, **options: Any) -> None:
        # The runner knows how a job gets to a worker, which has to take over what is lost.
        try:
            recovery = get_runner().recover()
        except InvalidSetting as error:
            raise CommandError(str(error)) from error
        if verbosity > 0:
            self.stdout.write(
                f"Failed: {recovery.failed}. Rescheduled: {recovery.rescheduled}. Handed over "
                f"again: {recovery.handed_over}. Stray files removed: {recovery.stray_files}."
                + (f" Leftovers removed: {recovery.leftovers}." if recovery.leftovers else "")
            )

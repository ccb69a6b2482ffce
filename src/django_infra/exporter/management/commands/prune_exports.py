"""Delete the files and rows of exports whose time is over."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_infra.exporter.exceptions import InvalidSetting
from django_infra.exporter.housekeeping.retention import (
    Tally,
    delete_leftovers,
    delete_rows,
    expire_files,
    remove_orphans,
)
from django_infra.exporter.management.terminal import show_line

DEFAULT_AGE = 60 * 60  # seconds; few transactions last longer


def parse_seconds(text: str) -> int:
    """Return a number of seconds, of which 0 is one."""
    if not (text.isascii() and text.isdecimal()):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds, such as {DEFAULT_AGE}.")
    return int(text)


class Command(BaseCommand):
    help = "Delete the files of exports whose time is over, and the rows that have outlived theirs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="Say what would be deleted, and delete nothing."
        )
        parser.add_argument(
            "--orphans",
            action="store_true",
            help="Delete also the files below EXPORTER_PATH_PREFIX that no row refers to.",
        )
        parser.add_argument(
            "--older-than",
            type=parse_seconds,
            default=DEFAULT_AGE,
            metavar="SECONDS",
            help="Spare the orphans that are younger: their row may not be committed yet "
            "(default: %(default)s).",
        )

    def handle(
        self, *, verbosity: int, dry_run: bool, orphans: bool, older_than: int, **options: Any
    ) -> None:
        # First the rows, so that a dry run knows of all that a run deletes.
        steps: dict[str, Callable[..., Tally]] = {
            "rows": delete_rows,
            "files": expire_files,
            "leftovers": delete_leftovers,
        }
        if orphans:
            steps["orphans"] = partial(remove_orphans, min_age=older_than)

        def tell(text: str) -> None:
            if verbosity > 1:
                self.stdout.write(show_line(text))

        tallies = {}
        for kind, step in steps.items():
            try:
                tallies[kind] = step(dry_run=dry_run, report=tell)
            except InvalidSetting as error:
                raise CommandError(str(error)) from error
        failed = sum(tally.failed for tally in tallies.values())
        if verbosity > 0:
            if not tallies["leftovers"].deleted:
                # They are rare.
                del tallies["leftovers"]
            counts = ", ".join(f"{kind}: {tally.deleted}" for kind, tally in tallies.items())
            self.stdout.write(f"{'Would delete' if dry_run else 'Deleted'} {counts}.")
        if failed:
            raise CommandError(f"{failed} could not be deleted; see the log.")

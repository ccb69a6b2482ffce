"""Export a model or a named export from the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from django_infra.exporter.exceptions import (
    ExporterError,
    FileAlreadyExists,
    describe_error,
)
from django_infra.exporter.jobs.progress import Watch
from django_infra.exporter.jobs.untracked import write_file, write_stream
from django_infra.exporter.management.arguments import read_pair
from django_infra.exporter.management.bar import open_bar
from django_infra.exporter.management.targets import Target, find_target
from django_infra.exporter.management.terminal import show_lines
from django_infra.exporter.models import ExportState

STDOUT = "-"
INTERRUPTED = 130  # as a shell has it: 128 and SIGINT
BROKEN_PIPE = 141  # 128 and SIGPIPE


class Command(BaseCommand):
    help = (
        "Export the rows of a model, or a named export, in this process: into the storage with a "
        "row that tells of it, or with --output to a file or to standard output."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "name", metavar="NAME|app.Model", help="A named export, or a model by its label."
        )
        model = parser.add_argument_group("of a model")
        model.add_argument(
            "--values", nargs="+", action="extend", metavar="FIELD", help="The columns."
        )
        model.add_argument(
            "--filter",
            action="append",
            type=read_pair,
            metavar="LOOKUP=VALUE",
            help="Which rows, as in price__gte=5 or id__in=1,2,3; all of several must hold.",
        )
        model.add_argument(
            "--order-by",
            nargs="+",
            action="extend",
            metavar="FIELD",
            help="Which order, as in --order-by=-price,id.",
        )
        model.add_argument(
            "--manager", help="Which of the model's managers; the default one unless told."
        )
        model.add_argument(
            "--database",
            choices=tuple(connections),
            help="Which database; the one that the routers choose unless told.",
        )
        model.add_argument(
            "--no-escape-formulas",
            action="store_true",
            help="Leave text that a spreadsheet would run as it is.",
        )
        named = parser.add_argument_group("of a named export")
        named.add_argument(
            "--param",
            action="append",
            type=read_pair,
            metavar="NAME=VALUE",
            help="A parameter; one that comes more than once is a list.",
        )
        named.add_argument(
            "--user", metavar="USERNAME", help="Who asks, and needs the export's permission."
        )
        file = parser.add_argument_group("the file")
        file.add_argument("--format", help="The format, if not the one of the extension.")
        place = file.add_mutually_exclusive_group()
        place.add_argument("--path", help="Where in the storage; a random name unless told.")
        place.add_argument(
            "--output",
            metavar="PATH|-",
            help="A local file instead, or standard output; no row tells of it.",
        )
        file.add_argument(
            "--force", action="store_true", help="Overwrite the file that --output names."
        )
        parser.add_argument(
            "--no-progress", action="store_true", help="Show no progress on a terminal."
        )

    def run_from_argv(self, argv: list[str]) -> None:
        """Give shells the exit codes that they expect."""
        try:
            super().run_from_argv(argv)
        except KeyboardInterrupt:
            sys.stderr.write("Interrupted.\n")
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            # At its end Python flushes what nobody takes any more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(BROKEN_PIPE)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["force"] and options["output"] in {None, STDOUT}:
            raise CommandError("--force overwrites a file, which --output must name.")
        try:
            target = find_target(options)
            if options["output"] is None:
                self.export_to_storage(target, options)
            elif options["output"] == STDOUT:
                self.export_to_stdout(target, options)
            else:
                self.export_to_file(target, options)
        # What went wrong is said in one line; --traceback shows where.
        except (BrokenPipeError, CommandError):
            raise
        except ExporterError as error:
            lines = [str(error), *getattr(error, "__notes__", ())]
            raise CommandError(show_lines("\n".join(lines))) from error
        except Exception as error:
            raise CommandError(show_lines(describe_error(error))) from error

    def export_to_storage(self, target: Target, options: dict[str, Any]) -> None:
        """Export as any caller does, with a row; print the name of the file."""
        with self._watch(options) as watch:
            export = target.export(options["path"], format=options["format"], watch=watch)
        # A job that has to be tried again later goes to the workers.
        if export.state != ExportState.SUCCESS:
            error = show_lines(export.error_log)
            raise CommandError(
                error or f"{export.id} was taken by a worker, or is left to the recovery."
            )
        if options["verbosity"] > 1:
            self.stdout.write(f"{export.id}: {export.row_count:,} rows, {export.file_size:,} bytes")
        if options["verbosity"] > 0:
            self.stdout.write(str(export.file.name))

    def export_to_stdout(self, target: Target, options: dict[str, Any]) -> None:
        """Print the rows and nothing else."""
        opened = target.open_job(None, format=options["format"])
        with opened as job, self._watch(options) as watch:
            self.stdout.flush()
            stdout: BinaryIO | None = getattr(self.stdout, "buffer", None)
            if stdout is None:
                raise CommandError(f"--output {STDOUT} needs a standard output that takes bytes.")
            row_count = write_stream(job, stdout, watch=watch)
        if options["verbosity"] > 1:
            self.stderr.write(f"{row_count:,} rows", self.style.NOTICE)

    def export_to_file(self, target: Target, options: dict[str, Any]) -> None:
        """Write a local file, which no row tells of."""
        output, overwrites = options["output"], options["force"]
        opened = target.open_job(output, format=options["format"])
        try:
            with opened as job, self._watch(options) as watch:
                row_count = write_file(job, Path(output), overwrites=overwrites, watch=watch)
        except FileAlreadyExists as error:
            raise CommandError(f"{error} --force overwrites a file.") from error
        if options["verbosity"] > 1:
            self.stdout.write(f"{row_count:,} rows")

    @contextmanager
    def _watch(self, options: dict[str, Any]) -> Iterator[Watch | None]:
        """Draw the progress where somebody sees it, and not among the rows."""
        # Django wraps the stream, and a bar draws on what is below.
        stderr: Any = self.stderr
        is_quiet = options["no_progress"] or options["verbosity"] == 0
        is_among_rows = options["output"] == STDOUT and self.stdout.isatty()
        if is_quiet or is_among_rows or not stderr.isatty():
            yield None
            return
        with open_bar(stderr._out, options["name"]) as watch:
            yield watch

"""Export without a row: into a local file, or into a stream."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, cast

from django_infra.db.transaction import is_in_transaction
from django_infra.exporter.delivery import LocalDelivery
from django_infra.exporter.exceptions import StreamDiverged
from django_infra.exporter.jobs import pipeline
from django_infra.exporter.jobs.pipeline import Job, Sink
from django_infra.exporter.jobs.progress import CountingProgress, Progress, Watch


def write_file(
    job: Job, path: Path, *, overwrites: bool = False, watch: Watch | None = None
) -> int:
    """Write a file that appears whole or not at all, and return how many rows it has.

    Raises FileAlreadyExists before any work, unless it is to be overwritten.
    """
    with LocalDelivery(path, overwrites=overwrites) as delivery:
        return _write(job, delivery, watch, finish=delivery.deliver)


def write_stream(job: Job, stream: BinaryIO, *, watch: Watch | None = None) -> int:
    """Write the rows into the stream as they come, and return how many they are.

    Raises StreamDiverged if the export had to begin again, and came out otherwise.
    """
    outlet = Outlet(stream)
    return _write(job, outlet, watch, finish=outlet.finish)


@dataclass
class Untracked:
    """What stands in for the row of an export."""

    id: str
    data_path: str = ""


class Outlet(io.BufferedIOBase):
    """A file that passes bytes on, of which none can be taken back.

    After ``restart()`` as many bytes as have gone out are expected once more. They are compared,
    by a hash, and not passed on.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self._position = 0
        self._hash = sha256()
        self._sent = 0
        self._sent_digest = b""

    @property
    def file(self) -> BinaryIO:
        return cast(BinaryIO, self)

    def restart(self) -> None:
        """Expect again what has gone out."""
        # A second restart may come before all of it has come again, and the digest is kept.
        if self._position == self._sent:
            self._sent_digest = self._hash.digest()
        self._position, self._hash = 0, sha256()

    def finish(self) -> None:
        """Raise StreamDiverged if more has gone out than should have."""
        if self._position < self._sent:
            raise self._make_error()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        expected = min(self._sent - self._position, len(view))
        if expected:
            self._advance(view[:expected])
            if self._position == self._sent and self._hash.digest() != self._sent_digest:
                raise self._make_error()
        if rest := view[expected:]:
            self._advance(rest)
            self._sent = self._position
            while rest:
                # Unbuffered, a stream may take a part.
                rest = rest[self.stream.write(rest) :]
        return len(view)

    def flush(self) -> None:
        self.stream.flush()

    def close(self) -> None:
        """Leave the stream to whoever has opened it."""

    def _advance(self, data: memoryview) -> None:
        self._hash.update(data)
        self._position += len(data)

    def _make_error(self) -> StreamDiverged:
        return StreamDiverged(
            "A value made the export begin again, and the rows came out otherwise than the "
            f"{self._sent:,} bytes that have left already: the output is not complete. Order the "
            "rows, or write to a file."
        )


def _write(job: Job, sink: Sink, watch: Watch | None, *, finish: Callable[[], object]) -> int:
    queryset = job.selection.queryset
    export = Untracked(f"an export of {queryset.model._meta.label}")
    # Rows are counted beforehand only for somebody who watches, and could be told of them.
    is_counted = watch is not None and not is_in_transaction(queryset.db)
    progress = (CountingProgress if is_counted else Progress)(export, job.selection, watch)
    with progress:
        pipeline.write(progress.export, job, sink, progress)
        finish()
    return progress.row_count

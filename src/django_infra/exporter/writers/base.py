from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, ClassVar, TypeAlias

from django.forms import Form

Rows: TypeAlias = Sequence[Sequence[Any]]
WriteRows: TypeAlias = Callable[[Rows], None]


class Writer(ABC):
    """Write rows into one kind of file.

    A format is a subclass and the OPTIONS that its constructor takes as keywords; the constructor
    raises ValueError or TypeError for those that it does not take.
    """

    content_type: ClassVar[str] = "application/octet-stream"

    options_form: ClassVar[type[Form] | None] = None
    """Its fields are keywords of the constructor, and attributes of what that makes."""

    @abstractmethod
    def open(self, file: BinaryIO, headers: Sequence[str]) -> AbstractContextManager[WriteRows]:
        """Begin a file with the headers and give the function that appends rows to it.

        The function puts the whole of the rows into the file, or raises; it may be called with
        rows of any number. On leaving without an error the file is complete. The caller closes it.
        """


class TextFile(ABC):
    """A file of text, begun with its headers, that takes what is text already."""

    @abstractmethod
    def write_columns(self, columns: Sequence[Sequence[str | None]]) -> None:
        """Append rows given column by column, each cell as ``format_cells()`` returns it."""

    @abstractmethod
    def write_lines(self, lines: Sequence[bytes | memoryview]) -> None:
        """Append rows that somebody else has made lines of, which lack their ends.

        Of the formula guard they lack what concerns the inside of texts. None holds a NUL.
        """


class TextWriter(Writer):
    """Write rows whose cells are texts, which a source can make sooner and cheaper."""

    escape_formulas: bool

    @property
    @abstractmethod
    def takes_text(self) -> bool:
        """Whether ``open_text()`` makes the same file as ``open()``."""

    @property
    @abstractmethod
    def takes_forms(self) -> bool:
        """Whether ``format_cells()`` makes what docs/cells.md says, so that others may do it."""

    @property
    @abstractmethod
    def takes_csv(self) -> bool:
        """Whether the lines of the file are those of RFC 4180 in UTF-8."""

    @abstractmethod
    def format_cells(self, values: Sequence[Any]) -> Sequence[str | None]:
        """Return the cells of values of one column, None for one that is empty."""

    @abstractmethod
    def open_text(self, file: BinaryIO, headers: Sequence[str]) -> AbstractContextManager[TextFile]:
        """Begin a file as ``open()`` does, for cells that are formatted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, ClassVar, TypeAlias

Rows: TypeAlias = Sequence[Sequence[Any]]
WriteRows: TypeAlias = Callable[[Rows], None]


class Writer(ABC):
    """Write rows into one kind of file.

    A format is a subclass and the OPTIONS that its constructor takes as keywords; the constructor
    raises ValueError or TypeError for those that it does not take.
    """

    content_type: ClassVar[str] = "application/octet-stream"

    @abstractmethod
    def open(self, file: BinaryIO, headers: Sequence[str]) -> AbstractContextManager[WriteRows]:
        """Begin a file with the headers and give the function that appends rows to it.

        The function puts the whole of the rows into the file, or raises; it may be called with
        rows of any number. On leaving without an error the file is complete. The caller closes it.
        """

"""Define what gets jobs to where they run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from django_infra.exporter.housekeeping.recovery import Recovery, recover_exports


class Runner(ABC):
    """Get jobs to where they run.

    A runner is a subclass and the OPTIONS that its constructor takes as keywords; the constructor
    raises ValueError or TypeError for those that it does not take.
    """

    # Does ``enqueue()`` run the job, so that whoever calls it waits for the end?
    works_at_once = False
    # May a job whose worker died be handed over once more?
    hands_over_again = True

    @abstractmethod
    def enqueue(self, export_id: str) -> None:
        """Hand the job over, or raise what keeps it from being taken.

        Whoever gets it calls ``run_job()``. It does no harm to be handed over more than once.
        """

    def find_faults(self) -> Iterator[str]:
        """Yield what would keep ``enqueue()`` from working, without asking any server."""
        # A generator that yields nothing, for subclasses that have nothing to say.
        yield from ()

    @property
    def hand_over(self) -> Callable[[str], None] | None:
        """What hands a job over once more, if that may be done."""
        return self.enqueue if self.hands_over_again else None

    def recover(self, *, limit: int | None = None) -> Recovery:
        """Have lost jobs taken over, or failed."""
        return recover_exports(self.hand_over, limit=limit)

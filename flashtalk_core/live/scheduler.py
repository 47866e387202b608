"""Whose chunk is drawn next where several sessions share what draws: earliest deadline first."""

from __future__ import annotations

from dataclasses import dataclass, field

from .clock import PlayoutClock
from .session import Drawer, Job, LiveSession


@dataclass(frozen=True, eq=False)
class Seat:
    """A session, its clock, and what draws its chunks."""

    session: LiveSession
    clock: PlayoutClock
    drawer: Drawer


@dataclass(eq=False)
class Scheduler:
    """Chooses among sessions; one chunk is drawn at a time."""

    capacity: int | None = None
    """Sessions that may speak at the same time; an utterance more waits. ``None`` is any number."""
    seats: list[Seat] = field(default_factory=list)

    def pick(self, now_s: float) -> tuple[Seat, Job] | None:
        """Begin the chunk that is due first, or return ``None`` if nobody needs one.

        Args:
            now_s: Of the clocks.
        """
        for seat in self._due(now_s):
            job = seat.session.next_job(seat.clock.to_next(now_s))
            if job is not None:
                return seat, job
        return None

    def _due(self, now_s: float) -> list[Seat]:
        """Return the sessions that need a chunk, the one whose first frame is due first before."""
        is_full = self.capacity is not None and self.num_speaking >= self.capacity
        due: list[tuple[float, int]] = []
        for number, seat in enumerate(self.seats):
            may_start = not is_full or seat.session.is_speaking
            first = seat.session.next_first(seat.clock.to_next(now_s), may_start=may_start)
            if first is not None:
                due.append((seat.clock.due_s(first), number))
        return [self.seats[number] for _, number in sorted(due)]

    @property
    def num_speaking(self) -> int:
        """Sessions whose speech has a place among their frames."""
        return sum(seat.session.is_speaking for seat in self.seats)

"""Whose chunk is drawn next where several sessions share what draws: earliest deadline first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .clock import PlayoutClock
from .session import Drawer, Job, LiveSession

MOST_LOAD = 0.9
"""Share of the time in which chunks may be drawn."""


def num_speakers(factor: float) -> int:
    """Return how many may speak at a time where a chunk takes so many times its length; or 0."""
    return math.floor(MOST_LOAD / factor)


@dataclass(frozen=True, eq=False)
class Seat:
    """A session, its clock, and what draws its chunks."""

    session: LiveSession
    clock: PlayoutClock
    drawer: Drawer


class SeatError(Exception):
    """A session failed when it was asked for a chunk."""

    def __init__(self, seat: Seat, error: Exception) -> None:
        """Say whose session it was, and what it raised."""
        super().__init__(f"a session could not say what it needs next: {error}")
        self.seat, self.error = seat, error


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

        Raises:
            SeatError: If a session fails at it; the others can be asked again without its seat.
        """
        for _, number, reserve in sorted(self._due(now_s)):
            seat = self.seats[number]
            with _named(seat):
                job = seat.session.next_job(seat.clock.to_next(now_s), reserve)
            if job is not None:
                return seat, job
        return None

    def _due(self, now_s: float) -> list[tuple[float, int, int]]:
        """Return when chunks that could be begun are due, with the number of a seat and reserve."""
        speaking = [_speaks(seat) for seat in self.seats]
        is_full = self.capacity is not None and sum(speaking) >= self.capacity
        due: list[tuple[float, int, int]] = []
        for number, (seat, speaks) in enumerate(zip(self.seats, speaking, strict=True)):
            with _named(seat):
                reserve = self._reserve(seat, sum(speaking) - speaks)
                first = seat.session.next_first(
                    seat.clock.to_next(now_s), reserve, may_start=speaks or not is_full
                )
            if first is not None:
                due.append((seat.clock.due_s(first), number, reserve))
        return due

    def _reserve(self, seat: Seat, num_others: int) -> int:
        """Return how much later speech begins, so that as many chunks of others may be drawn first.

        At least one other may begin later than this one.
        """
        most = min(self.capacity or len(self.seats), len(self.seats)) - 1
        cost = max(seat.session.costs.values(), key=lambda one: one.num_new)
        return math.ceil(min(most, max(1, num_others)) * cost.all_frames)


@contextmanager
def _named(seat: Seat) -> Iterator[None]:
    """Say whose session it was that failed."""
    try:
        yield
    except Exception as error:  # the border between one session and the others
        raise SeatError(seat, error) from error


def _speaks(seat: Seat) -> bool:
    with _named(seat):
        return seat.session.is_speaking

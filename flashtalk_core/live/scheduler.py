"""Whose chunk is drawn next where several sessions share what draws.

Of those who speak the one whose next frame is due first; of those who wait the one that has waited
longest, where its first frame is due before any of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .clock import PlayoutClock
from .decide import Draw
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
    """Sessions that may speak at the same time; an utterance more waits, for as long as those who
    speak go on without a gap. ``None`` is any number."""
    seats: list[Seat] = field(default_factory=list)

    def pick(self, now_s: float) -> tuple[Seat, Job] | None:
        """Begin the chunk that is to be drawn now, or return ``None`` if nobody needs one.

        Args:
            now_s: Of the clocks.

        Raises:
            SeatError: If a session fails at it; the others can be asked again without its seat.
        """
        speaking = [_speaks(seat) for seat in self.seats]
        is_full = self.capacity is not None and sum(speaking) >= self.capacity
        due: list[_Due] = []
        waiting: list[_Due] = []
        for seat, speaks in zip(self.seats, speaking, strict=True):
            reserve = self._reserve(seat, sum(speaking) - speaks)
            draw = _next_draw(seat, now_s, reserve, may_start=speaks or not is_full)
            if draw is not None:
                is_start = draw.kind == "start" and not speaks
                (waiting if is_start else due).append(_Due(seat, draw.first, reserve))
        # When an utterance can begin moves on with the clock, so it says nothing of who has waited
        # longer; when a frame is due that follows others does not.
        due += sorted(waiting, key=_waits_from_s)[:1]
        for one in sorted(due, key=_due_s):
            job = _begin(one, now_s)
            if job is not None:
                return one.seat, job
        return None

    def _reserve(self, seat: Seat, num_others: int) -> int:
        """Return how much later speech begins, so that as many chunks of others may be drawn first.

        At least one other may begin later than this one.
        """
        most = min(self.capacity or len(self.seats), len(self.seats)) - 1
        with _named(seat):
            cost = max(seat.session.costs.values(), key=lambda one: one.num_new)
            return math.ceil(min(most, max(1, num_others)) * cost.all_frames)


@dataclass(frozen=True)
class _Due:
    """A chunk that may be begun."""

    seat: Seat
    first: int
    """Its first frame."""
    reserve: int


def _due_s(one: _Due) -> float:
    return one.seat.clock.due_s(one.first)


def _waits_from_s(one: _Due) -> float:
    return one.seat.clock.due_s(one.seat.session.waits_from)


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


def _next_draw(seat: Seat, now_s: float, reserve: int, *, may_start: bool) -> Draw | None:
    with _named(seat):
        return seat.session.next_draw(seat.clock.to_next(now_s), reserve, may_start=may_start)


def _begin(one: _Due, now_s: float) -> Job | None:
    with _named(one.seat):
        return one.seat.session.next_job(one.seat.clock.to_next(now_s), one.reserve)

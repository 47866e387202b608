"""Live sessions in virtual time: what chunks cost is declared, their frames are real.

Nothing sleeps, so hours pass in seconds, and a run is repeatable to the frame.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import count

from ..engine.state import FrameGroup
from .clock import LEAD_S, LiveSink, PlayoutClock
from .scheduler import Scheduler, Seat
from .session import Drawer, Job, LiveSession


@dataclass
class _Drawing:
    """A job on its way."""

    session: LiveSession
    job: Job
    groups: Generator[FrameGroup, None, None]
    begun_s: float


class Simulation:
    """Runs sessions, their clocks and one that draws, by events in order of time."""

    def __init__(
        self,
        session: LiveSession,
        drawer: Drawer,
        sink: LiveSink,
        *,
        steps: int = 4,
        lead_s: float = LEAD_S,
        capacity: int | None = None,
    ) -> None:
        """Begin at 0 s, when frame 0 of the first session is due.

        Args:
            session: Its costs say how long a chunk takes.
            drawer: Draws the chunks.
            sink: Takes what leaves the clock.
            steps: Denoising steps of a chunk; it can be given up between them.
            lead_s: See :class:`PlayoutClock`.
            capacity: See :class:`Scheduler`.
        """
        self.now_s = 0.0
        self._scheduler = Scheduler(capacity)
        self._sinks: list[LiveSink] = []
        self._steps = steps
        self._lead_s = lead_s
        self._rate_hz = session.chunks[0].frame_rate_hz
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()
        self._drawing: _Drawing | None = None
        self.add(session, drawer, sink)

    def add(self, session: LiveSession, drawer: Drawer, sink: LiveSink) -> None:
        """Add a session, whose frame 0 is due now."""
        clock = PlayoutClock(session, self._rate_hz, self.now_s, lead_s=self._lead_s)
        self._scheduler.seats.append(Seat(session, clock, drawer))
        self._sinks.append(sink)

    def at(self, time_s: float, call: Callable[[], object]) -> None:
        """Call something at a time; what is due at the same time keeps its order."""
        heapq.heappush(self._events, (time_s, next(self._order), call))

    def run(self, until_s: float) -> None:
        """Go on until a time."""
        self.at(until_s, lambda: None)
        while self.now_s < until_s:
            tick_s = self._tick()
            time_s = self._events[0][0]
            if tick_s < time_s:
                self.now_s = tick_s
            else:
                self.now_s, _, call = heapq.heappop(self._events)
                call()
            if self._drawing is None:
                self._begin()

    def _tick(self) -> float:
        """Let frames leave whose time it is; return when the next one may."""
        wakes_s = []
        for seat, sink in zip(self._scheduler.seats, self._sinks, strict=True):
            while True:
                shown, wake_s = seat.clock.tick(self.now_s)
                if shown is None:
                    wakes_s.append(wake_s)
                    break
                sink.show(shown, self.now_s)
                if self._drawing is None:
                    self._begin()
        return min(wakes_s)

    def _begin(self) -> None:
        found = self._scheduler.pick(self.now_s)
        if found is None:
            return
        seat, job = found
        self._drawing = drawing = _Drawing(seat.session, job, seat.drawer.draw(job), self.now_s)
        cost = seat.session.costs[job.chunk.num_new_frames]
        first_s = cost.first_frames / self._rate_hz
        for step in range(1, self._steps):
            self.at(self.now_s + first_s * step / self._steps, lambda: self._go_on(drawing))
        self._await_group(drawing)

    def _await_group(self, drawing: _Drawing) -> None:
        """Draw the next group of frames, and let it arrive when it would be there."""
        job = drawing.job
        group = next(drawing.groups)
        cost = drawing.session.costs[job.chunk.num_new_frames]
        stop = job.num_added + len(group.frames)
        share = job.num_added / max(1, len(job.span.shown) - len(group.frames))
        took = cost.first_frames + share * (cost.all_frames - cost.first_frames)
        assert stop <= len(job.span.shown), (stop, job)
        self.at(drawing.begun_s + took / self._rate_hz, lambda: self._arrive(drawing, group))

    def _arrive(self, drawing: _Drawing, group: FrameGroup) -> None:
        if not self._go_on(drawing):
            return
        if drawing.session.add(drawing.job, group.frames, group.state):
            self._await_group(drawing)
        else:
            drawing.groups.close()
            self._drawing = None

    def _go_on(self, drawing: _Drawing) -> bool:
        """Return whether a job is still being drawn, and give it up once it is cancelled."""
        if self._drawing is not drawing:
            return False
        if drawing.job.is_cancelled:
            drawing.groups.close()
            self._drawing = None
            return False
        return True

"""A live session in real time: one thread draws, one is the clock, and sinks take what leaves."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event, Thread

from ..log import printable_log
from .clock import LEAD_S, LiveSink, PlayoutClock
from .decide import ChunkCost
from .session import Job, LiveSession
from .simulate import Drawer

_log = printable_log(logging.getLogger(__name__))
_LONGEST_WAIT_S = 0.5


def run_live(
    session: LiveSession,
    drawer: Drawer,
    sink: LiveSink,
    stop: Event,
    *,
    lead_s: float = LEAD_S,
    clock_s: Callable[[], float] = time.monotonic,
) -> None:
    """Play a session until it is stopped; the clock runs in this thread.

    Args:
        session: What others push to and clear.
        drawer: Draws the chunks, in a thread of its own.
        sink: Takes each frame as it leaves, with the time since the start.
        stop: Ends the session; frames that have not left are dropped.
        lead_s: How early a frame may leave.
        clock_s: Gives the time.

    Raises:
        Exception: Whatever drawing or the sink raised; the session ends then.
    """
    start_s = clock_s()

    def now_s() -> float:
        return clock_s() - start_s

    clock = PlayoutClock(session, lead_s=lead_s)
    worker = _Worker(session, drawer, clock, now_s, stop)
    worker.start()
    try:
        while not stop.is_set():
            with session.changed:
                shown, wake_s = clock.tick(now_s())
                if shown is None:
                    session.changed.wait(min(_LONGEST_WAIT_S, max(0.0, wake_s - now_s())))
            if shown is not None:
                sink.show(shown, now_s())
    finally:
        stop.set()
        with session.changed:
            session.changed.notify_all()
        worker.join()
    if worker.error is not None:
        raise worker.error


class _Worker(Thread):
    """Draws one chunk after the other, and keeps the session's costs up to date."""

    def __init__(
        self,
        session: LiveSession,
        drawer: Drawer,
        clock: PlayoutClock,
        now_s: Callable[[], float],
        stop: Event,
    ) -> None:
        super().__init__(name="live-drawer", daemon=True)
        self.error: BaseException | None = None
        self._session = session
        self._drawer = drawer
        self._clock = clock
        self._now_s = now_s
        self._stop_event = stop

    def run(self) -> None:
        """Draw until the session is stopped; what is raised stops it."""
        try:
            while not self._stop_event.is_set():
                with self._session.changed:
                    job = self._session.next_job(self._clock.to_next(self._now_s()))
                    if job is None:
                        self._session.changed.wait(_LONGEST_WAIT_S)
                if job is not None:
                    self._draw(job)
        except BaseException as error:  # raised again by run_live
            self.error = error
            self._stop_event.set()
            with self._session.changed:
                self._session.changed.notify_all()

    def _draw(self, job: Job) -> None:
        start_s = self._now_s()
        first_s: float | None = None
        groups = self._drawer.draw(job)
        try:
            for group in groups:
                first_s = self._now_s() - start_s if first_s is None else first_s
                goes_on = self._session.add(job, group.frames, group.state)
                if self._stop_event.is_set() or not goes_on:
                    break
        finally:
            groups.close()
            self._session.give_up(job)
        if job.is_cancelled or first_s is None:
            return
        rate_hz = job.chunk.frame_rate_hz
        took_s = self._now_s() - start_s
        num_new = len(job.span.shown)
        self._session.note_cost(ChunkCost(num_new, first_s * rate_hz, took_s * rate_hz))

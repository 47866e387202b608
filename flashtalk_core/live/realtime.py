"""Live sessions in real time: one thread draws for all, each has a clock, and sinks take frames."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import Event, Lock, Thread

from .clock import LEAD_S, LiveSink, PlayoutClock
from .decide import ChunkCost
from .scheduler import Scheduler, Seat, SeatError
from .session import Drawer, Job, LiveSession

_LONGEST_WAIT_S = 0.5
Clock = Callable[[], float]


class DrawingThread(Thread):
    """Draws the chunks of all its sessions, one after the other, and keeps their costs up to date.

    What is drawn beside them, such as idle frames, is a task: it runs while no session needs a
    chunk, and is to be short.
    """

    def __init__(self, capacity: int | None = None, now_s: Clock = time.monotonic) -> None:
        """Draw nothing yet; ``start()`` it.

        Args:
            capacity: See :class:`Scheduler`.
            now_s: Gives the time, that of the sessions' clocks.
        """
        super().__init__(name="live-drawer", daemon=True)
        self.scheduler = Scheduler(capacity)
        self._now_s = now_s
        self._lock = Lock()
        self._on_error: dict[Seat, Callable[[BaseException], object]] = {}
        self._tasks: deque[tuple[Callable[[], object], Future[object]]] = deque()
        self._news = Event()
        self._is_ending = False

    def add(self, seat: Seat, on_error: Callable[[BaseException], object]) -> None:
        """Draw for a session as well; what it or drawing raises ends that session alone."""
        with self._lock:
            self.scheduler.seats.append(seat)
            self._on_error[seat] = on_error
        seat.session.on_change = self._news.set
        self._news.set()

    def remove(self, seat: Seat) -> None:
        """Draw for a session no longer; its chunk is given up between two steps."""
        with self._lock:
            if seat in self._on_error:
                self.scheduler.seats.remove(seat)
                del self._on_error[seat]
        seat.session.on_change = lambda: None
        seat.session.cancel()
        self._news.set()

    def call(self, task: Callable[[], object]) -> Future[object]:
        """Run a task in this thread once no session needs a chunk."""
        result: Future[object] = Future()
        with self._lock:
            self._tasks.append((task, result))
        self._news.set()
        return result

    def draw_due(self) -> None:
        """Draw what sessions need now; tasks call it between their parts."""
        while not self._is_ending and self._draw_next():
            pass

    def stop(self) -> None:
        """End, after the chunk that is being drawn."""
        self._is_ending = True
        with self._lock:
            seats = list(self.scheduler.seats)
        for seat in seats:
            seat.session.cancel()
        self._news.set()
        if self.is_alive():
            self.join()
        for _, result in self._tasks:
            result.cancel()

    def run(self) -> None:
        """Draw until it is stopped."""
        self.draw_until(lambda: False)

    def draw_until(self, is_over: Callable[[], bool]) -> None:
        """Draw in the thread that calls, instead of one of its own, which is not started then.

        Args:
            is_over: Ends it; asked between chunks, after each change of a session, and twice a
                second while there is none.
        """
        while not self._is_ending:
            self._news.clear()
            if is_over():
                return
            if not self._draw_next() and not self._run_task():
                self._news.wait(_LONGEST_WAIT_S)

    def _draw_next(self) -> bool:
        try:
            with self._lock:
                found = self.scheduler.pick(self._now_s())
        except SeatError as failed:
            self._fail(failed.seat, failed.error)
            return True
        if found is not None:
            self._draw(*found)
        return found is not None

    def _run_task(self) -> bool:
        with self._lock:
            if not self._tasks:
                return False
            task, result = self._tasks.popleft()
        if result.set_running_or_notify_cancel():
            try:
                result.set_result(task())
            except BaseException as error:  # raised again where the result is asked for
                result.set_exception(error)
        return True

    def _draw(self, seat: Seat, job: Job) -> None:
        try:
            self._draw_chunk(seat, job)
        except BaseException as error:  # the border between one session and the others
            self._fail(seat, error)

    def _fail(self, seat: Seat, error: BaseException) -> None:
        """End a session by what it raised, if it has not ended."""
        with self._lock:
            report = self._on_error.get(seat)
        self.remove(seat)
        if report is not None:
            report(error)

    def _draw_chunk(self, seat: Seat, job: Job) -> None:
        start_s = self._now_s()
        first_s: float | None = None
        groups = seat.drawer.draw(job)
        try:
            for group in groups:
                first_s = self._now_s() - start_s if first_s is None else first_s
                if not seat.session.add(job, group.frames, group.state) or self._is_ending:
                    break
        finally:
            groups.close()
            seat.session.give_up(job)
        if job.is_cancelled or job.has_loaded or first_s is None:
            return
        rate_hz = job.chunk.frame_rate_hz
        took_s = self._now_s() - start_s
        num_new = len(job.span.shown)
        seat.session.note_cost(ChunkCost(num_new, first_s * rate_hz, took_s * rate_hz))


def run_clock(seat: Seat, sink: LiveSink, stop: Event, now_s: Clock = time.monotonic) -> None:
    """Let a session's frames leave until it is stopped; frames that have not left are dropped.

    Args:
        seat: The session, and its clock.
        sink: Takes each frame as it leaves, with the time.
        stop: Ends it; notify the session then.
        now_s: Gives the time, that of the clock.

    Raises:
        Exception: What the sink raises.
    """
    session = seat.session
    while not stop.is_set():
        with session.changed:
            shown, wake_s = seat.clock.tick(now_s())
            if shown is None:
                session.changed.wait(min(_LONGEST_WAIT_S, max(0.0, wake_s - now_s())))
        if shown is not None:
            sink.show(shown, now_s())


def run_live(
    session: LiveSession,
    drawer: Drawer,
    sink: LiveSink,
    stop: Event,
    *,
    lead_s: float = LEAD_S,
    clock_s: Clock = time.monotonic,
) -> None:
    """Play one session until it is stopped; the clock runs in this thread.

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
    errors: list[BaseException] = []

    def now_s() -> float:
        return clock_s() - start_s

    def fail(error: BaseException) -> None:
        errors.append(error)
        stop.set()
        session.wake()

    seat = Seat(
        session, PlayoutClock(session, session.chunks[0].frame_rate_hz, lead_s=lead_s), drawer
    )
    thread = DrawingThread(now_s=now_s)
    thread.add(seat, fail)
    thread.start()
    try:
        run_clock(seat, sink, stop, now_s)
    finally:
        stop.set()
        thread.stop()
    if errors:
        raise errors[0]

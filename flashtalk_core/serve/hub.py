"""All sessions of a server: who is admitted, and when each ends."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, cast

from ..errors import require
from ..excerpt import excerpt
from ..live.decide import Idle, Policy
from ..live.realtime import DrawingThread
from ..live.scheduler import MOST_LOAD, num_speakers
from ..log import printable_log
from .avatars import Avatar, Avatars
from .encoders import FragmentOutput, RecordingOutput
from .limits import SESSIONS_PER_SPEAKER, ServerLimits
from .meters import ServerCounts
from .protocol import RefusedError, Start
from .session import Detector, Recorder, ServedSession

_log = printable_log(logging.getLogger(__name__))

PREPARE_TIMEOUT_S = 120.0
"""How long a client waits for its portrait."""
_RETRY_S = 5


class LiveHub:
    """The sessions, and the thread that draws for them."""

    def __init__(
        self,
        avatars: Avatars,
        limits: ServerLimits,
        *,
        look_ahead: int = 0,
        record: Path | None = None,
        allow_slow: bool = False,
        detector: Detector | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin without sessions; :meth:`start` makes it ready.

        Args:
            avatars: Who can speak.
            limits: Of sessions.
            look_ahead: Frames of sound after a chunk that it is drawn with.
            record: Folder for recordings of what was shown; ``None`` records nothing.
            allow_slow: Whether chunks may take longer than they last.
            detector: See :class:`ServedSession`.
            now_s: Gives the time.
        """
        self.avatars, self.limits = avatars, limits
        self.counts = ServerCounts()
        self.factor = math.nan
        self.capacity = 1
        self._look_ahead, self._record, self._allow_slow = look_ahead, record, allow_slow
        self._detector, self._now_s = detector, now_s
        self._drawing = DrawingThread(now_s=now_s)
        self._sessions: dict[str, ServedSession] = {}
        self._places: set[object] = set()
        self._taken: dict[str, object] = {}
        self._num_recordings = 0
        self._is_stopped = False
        self._lock = Lock()

    @property
    def max_sessions(self) -> int:
        """Most sessions."""
        return self.limits.sessions or SESSIONS_PER_SPEAKER * self.capacity

    @property
    def is_drawing(self) -> bool:
        """Whether the thread runs that draws for all sessions; without it none is shown speech."""
        return self._drawing.is_alive()

    def start(self) -> None:
        """Prepare the server's own portrait, measure how many may speak, and begin to draw.

        Raises:
            FlashTalkError: If the portrait or the model cannot be used, or chunks take too long.
        """
        plan, policy = self.avatars.plan(), self.policy()
        self.avatars.hold(self, plan, policy)
        own = self.avatars.prepare(plan, policy)
        self.factor = own.factor
        self.capacity = self.capacity_at(own.factor)
        self._drawing.scheduler.capacity = self.capacity
        self._drawing.start()

    def capacity_at(self, factor: float) -> int:
        """Return how many may speak at the same time where a chunk takes so many times its length.

        Raises:
            InvalidInputError: If not one may, and slow sessions were not allowed.
        """
        found = num_speakers(factor)
        require(
            found >= 1 or self._allow_slow,
            f"a chunk takes {factor:.2f} times as long as it is shown, and live sound needs at "
            f"most {MOST_LOAD:g}; use a smaller size, fewer steps, FP8 or a faster GPU, or "
            "--allow-slow for pictures that stop and go",
        )
        return max(1, found)

    def policy(self, idle: Idle = "bank") -> Policy:
        """Return how a session is played."""
        return Policy(idle=idle, look_ahead=self._look_ahead)

    async def enter(self, start: Start) -> ServedSession:
        """Return the session that a client wants: an old one, or a new one.

        Raises:
            FlashTalkError: If there is no place, or what it wants cannot be used.
        """
        if start.session:
            return self.find(start.session)
        place = self.admit()
        try:
            avatar = await self.find_avatar(start, place)
            return await asyncio.to_thread(self.open, avatar, start, place)
        except BaseException:
            self.release(place)
            raise

    async def find_avatar(self, start: Start, place: object) -> Avatar:
        """Return who speaks, once it is ready; it is kept while the place is.

        Raises:
            FlashTalkError: If portrait or prompt cannot be used, or take too long.
        """
        found = await asyncio.to_thread(self.prepare, start, place)
        if not isinstance(found, Future):
            return found
        try:
            async with asyncio.timeout(PREPARE_TIMEOUT_S):
                return cast("Avatar", await asyncio.wrap_future(found))
        except TimeoutError:
            raise RefusedError(
                "busy",
                f"the portrait was not ready in {PREPARE_TIMEOUT_S:g} s; try again later",
                _RETRY_S,
            ) from None
        except asyncio.CancelledError:
            if found.cancelled():
                with self._lock:
                    self._check_open()
            raise

    def welcome(self, session: ServedSession) -> dict[str, Any]:
        """Return what a client is told of its session."""
        return session.welcome(f"/sessions/{session.id}/stream", self.factor)

    def admit(self) -> object:
        """Keep a place for a session, which :meth:`open` takes or :meth:`release` gives back.

        Returns:
            The place.

        Raises:
            RefusedError: If there is none.
        """
        with self._lock:
            self._check_open()
            taken = len(self._sessions) + len(self._places)
            if taken >= self.max_sessions:
                raise RefusedError(
                    "full",
                    f"{taken} sessions are open, and at most {self.max_sessions} can be "
                    f"({self.capacity} may speak at a time); try again later",
                    _RETRY_S,
                )
            place = object()
            self._places.add(place)
            return place

    def release(self, place: object) -> None:
        """Give back a place of :meth:`admit` that :meth:`open` did not take."""
        with self._lock:
            self._places.discard(place)
        self.avatars.leave(place)

    def prepare(self, start: Start, place: object) -> Avatar | Future[object]:
        """Return who speaks, or what will; a plan is made, so it takes a moment.

        Raises:
            FlashTalkError: If portrait or prompt cannot be used.
        """
        plan = self.avatars.plan(start.portrait, start.prompt, start.seed)
        policy = self.policy(start.idle)
        self.avatars.hold(place, plan, policy)
        ready = self.avatars.find(plan, policy)
        if ready is not None:
            return ready
        return self.call(lambda: self.avatars.prepare(plan, policy, self._draw_between))

    def _draw_between(self) -> None:
        """Draw what sessions need between the parts of a portrait; give it up if the server stops.

        Raises:
            RefusedError: If it does.
        """
        self._drawing.draw_due()
        with self._lock:
            self._check_open()

    def call(self, task: Callable[[], object]) -> Future[object]:
        """Run a task in the thread that draws, once no session needs a chunk.

        Raises:
            RefusedError: If the server stops; tasks that wait then are cancelled.
        """
        with self._lock:
            self._check_open()
            return self._drawing.call(task)

    def open(self, avatar: Avatar, start: Start, place: object) -> ServedSession:
        """Begin a session in a place of :meth:`admit`.

        Raises:
            FlashTalkError: If its sound or its recording cannot be as they are wanted, or the
                server stops.
        """
        session = ServedSession(
            avatar,
            start,
            self._drawing,
            self.limits,
            FragmentOutput,
            self._recorder(),
            self._detector,
            self._now_s,
        )
        try:
            with self._lock:
                self._check_open()
                self._places.discard(place)
                self._sessions[session.id] = session
                self._taken[session.id] = place
                self.counts.sessions += 1
        except RefusedError:
            session.close("server")
            raise
        return session

    def _check_open(self) -> None:
        """Check, with the lock held, that sessions may begin.

        Raises:
            RefusedError: If the server stops.
        """
        if self._is_stopped:
            raise RefusedError("busy", "the server stops; try again later", _RETRY_S)

    def _recorder(self) -> Recorder | None:
        """Return what records the next session, into a file that no other session has."""
        if self._record is None:
            return None
        with suppress(OSError):  # told by the recording, which finds no folder
            self._record.mkdir(parents=True, exist_ok=True)
        with self._lock:  # clients that come together open their sessions in several threads
            self._num_recordings += 1
            number = self._num_recordings
        stamp = time.strftime("%Y%m%d-%H%M%S")
        return partial(RecordingOutput, self._record / f"live-{stamp}-{number:04d}.mp4")

    def find(self, name: str) -> ServedSession:
        """Return a session by its id.

        Raises:
            RefusedError: If there is none.
        """
        found = self._sessions.get(name)
        if found is None:
            raise RefusedError(
                "session", f"session {excerpt(name, 12)!r}: it ended, or never was; start a new one"
            )
        return found

    def close(self, session: ServedSession, reason: str) -> None:
        """End a session; does nothing if it has ended."""
        with self._lock:
            if self._sessions.pop(session.id, None) is None:
                return
            self.counts.failed_sessions += session.error is not None
            place = self._taken.pop(session.id)
        try:
            session.close(reason)
        finally:
            self.avatars.leave(place)

    def close_or_log(self, session: ServedSession, reason: str) -> None:
        """End a session; what goes wrong then is no matter of the others, and goes to the log."""
        try:
            self.close(session, reason)
        except Exception:  # the border between one session and the others
            _log.exception("session %s could not be ended properly", session.id[:6])

    def finished(self) -> list[tuple[ServedSession, str]]:
        """Return the sessions whose time is over, and why; :meth:`close_or_log` ends them."""
        found = [(session, session.why_over()) for session in list(self._sessions.values())]
        return [(session, reason) for session, reason in found if reason]

    def end_unwatched(self) -> None:
        """Let no video be encoded that nobody watches; returns at once."""
        for session in list(self._sessions.values()):
            try:
                session.end_unwatched()
            except Exception:  # the border between one session and the others
                _log.exception("the encoder of session %s could not be ended", session.id[:6])

    def stop(self) -> None:
        """End all sessions at once, and stop drawing; none begins any more."""
        with self._lock:
            self._is_stopped = True
            sessions = list(self._sessions.values())
        # Each may wait for its outputs, so one after the other they would take as often as long.
        with ThreadPoolExecutor(max(1, len(sessions)), "live-end") as ends:
            for session in sessions:
                ends.submit(self.close_or_log, session, "server")
        self._drawing.stop()
        self.avatars.close()

    def stats(self) -> dict[str, Any]:
        """Return what ``/stats`` says."""
        sessions = list(self._sessions.values())
        return {
            "factor": round(self.factor, 3),
            "capacity": self.capacity,
            "max_sessions": self.max_sessions,
            "open_sessions": len(sessions),
            "speaking": sum(one.live.is_speaking for one in sessions),
            **vars(self.counts),
            "per_session": [one.row() for one in sessions],
        }

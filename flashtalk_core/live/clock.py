"""The one clock of a session, from which frames leave with their sound."""

from __future__ import annotations

from typing import Protocol

from .shown import Shown

LEAD_S = 0.1
"""How early a frame may leave before it is due. What has left cannot be taken back, so this is
what an interruption costs; it is also what makes up for a late frame."""


MOST_LATE_S = 1.0
"""Beyond it the clock itself stood still, as that of a machine that slept: time is moved, instead
of letting all frames leave at once."""


class Leaving(Protocol):
    """Whose frames leave: a session."""

    @property
    def playhead(self) -> int:
        """The next frame that leaves."""
        ...

    def is_ready(self) -> bool:
        """Return whether it has its picture."""
        ...

    def leave(self) -> Shown:
        """Return it, the last picture again if its own is not there."""
        ...


class LiveSink(Protocol):
    """Takes what leaves the clock: an encoder, a recorder, a viewer's queue."""

    def show(self, shown: Shown, now_s: float) -> object:
        """Take a frame and its sound at ``now_s`` of the clock. Must not block: the clock waits."""
        ...


class PlayoutClock:
    """Lets frame ``n`` leave at ``start + n / 25`` s, at most the lead earlier.

    It never sleeps and reads no time: who runs it says what time it is, so the same clock runs in
    real and in virtual time.
    """

    def __init__(
        self,
        session: Leaving,
        rate_hz: int,
        start_s: float = 0.0,
        *,
        lead_s: float = LEAD_S,
    ) -> None:
        """Begin with the session's next frame.

        Args:
            session: Whose frames leave.
            rate_hz: Frames a second.
            start_s: When frame 0 is due.
            lead_s: How early a frame may leave.
        """
        self._session = session
        self._rate_hz = rate_hz
        self._start_s = start_s
        self._lead_s = lead_s
        self.num_moves = 0
        """How often time was moved."""

    def due_s(self, frame: int) -> float:
        """Return when a frame is to be shown."""
        return self._start_s + frame / self._rate_hz

    def to_next(self, now_s: float) -> float:
        """Return the frames of time until the next frame leaves; below 0 while it is late."""
        leaves_s = self.due_s(self._session.playhead) - self._lead_s
        return (leaves_s - now_s) * self._rate_hz

    def tick(self, now_s: float) -> tuple[Shown | None, float]:
        """Let the next frame leave if it is time.

        A frame whose picture is missing is waited for until it is due; then the picture before it
        is shown again, with the sound of the frame.

        Returns:
            The frame, or ``None``, and when to call again at the latest; earlier where a picture
            arrives.
        """
        due_s = self.due_s(self._session.playhead)
        if now_s - due_s > MOST_LATE_S:
            self._start_s += now_s - due_s
            self.num_moves += 1
            due_s = now_s
        if now_s < due_s - self._lead_s:
            return None, due_s - self._lead_s
        if now_s < due_s and not self._session.is_ready():
            return None, due_s
        return self._session.leave(), now_s

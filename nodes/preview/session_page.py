"""A live session as the page follows it: messages about what it does, and its end."""

from __future__ import annotations

import logging
import time
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import comfy.model_management as management

from ...flashtalk_core.files.paths import is_file
from ...flashtalk_core.log import printable_log
from .live_preview import file_message, first_reason
from .messages import CHECKING, FAILED, FINISHED, INTERRUPTED, LIVE, NETWORKS, READING
from .session_messages import EVENT, LiveMessage
from .streams import send_message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...flashtalk_core.live.shown import Shown
    from ...flashtalk_core.serve.limits import ServerLimits
    from ...flashtalk_core.serve.protocol import Start
    from ..host.output import OutputFile

_log = printable_log(logging.getLogger(__name__))

_EVERY_S = 1.0


class Watched(Protocol):
    """What is told of a session; see ``ServedSession``."""

    id: str

    @property
    def silence_s(self) -> float:
        """Time since somebody spoke."""
        ...

    def row(self) -> dict[str, Any]:
        """Return its counts and times."""
        ...


class SessionPage:
    """Reports a session to the page. Enter it before anything can fail.

    It is an output of the session as well, which tells when somebody begins to speak.
    """

    def __init__(
        self,
        start: Start,
        limits: ServerLimits,
        chunk_s: float,
        node_id: str | None,
        workflow: str | None,
    ) -> None:
        """Send nothing yet.

        Args:
            start: How the session begins.
            limits: When it ends.
            chunk_s: Length of a chunk.
            node_id: Node that runs.
            workflow: Id of its workflow, if known.
        """
        self._start, self._limits, self._chunk_s = start, limits, chunk_s
        self._node_id, self._workflow = node_id, workflow
        self._text: str | None = CHECKING
        self._notes: list[str] = []
        self._session: Watched | None = None
        self._factor: float | None = None
        self._output: OutputFile | None = None
        self._reason: str | None = None
        self._is_speaking = False
        self._sent_s = -_EVERY_S
        self._lock = Lock()
        self._can_send = True

    def __enter__(self) -> Self:
        self._send(LIVE)
        return self

    def note(self, notes: Iterable[str]) -> None:
        """Add what the user should know; the next message carries it."""
        self._notes += (note for note in notes if note not in self._notes)

    def say(self, text: str) -> None:
        """Report what is being done before the session begins."""
        if text != self._text:
            self._text = text
            self._send(LIVE)

    def reading(self, kind: type) -> None:
        """Report which network is read."""
        if self._session is None:  # later they are but brought back
            self.say(READING.format(network=NETWORKS.get(kind.__name__, kind.__name__)))

    def begin(self, session: Watched, factor: float, output: OutputFile) -> None:
        """Report that the session has begun.

        Args:
            session: The session.
            factor: Time of a chunk over its length.
            output: Its recording, which is there at the end.
        """
        self._session, self._factor, self._output = session, factor, output
        self._text = None
        self._send(LIVE)

    def end(self, reason: str) -> None:
        """Say why it ended: one of those of :class:`LiveMessage`."""
        self._reason = reason

    def take(self, shown: Shown) -> None:
        """Look at a frame that was shown; see ``Output``."""
        is_speaking = shown.utterance is not None
        if is_speaking != self._is_speaking or time.monotonic() - self._sent_s >= _EVERY_S:
            self._is_speaking = is_speaking
            self._send(LIVE)

    def close(self, *, is_whole: bool) -> None:
        """Do nothing; see ``Output``."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._text = None
        if error is None:
            self._send(FINISHED)
            return
        stopped = isinstance(error, management.InterruptProcessingException)
        self.note(getattr(error, "__notes__", ()))
        self._reason = None if stopped else first_reason(error)
        self._send(INTERRUPTED if stopped else FAILED)

    def _send(self, state: str) -> None:
        """Send a message. What fails here must not end the session, nor hide why it ended."""
        if self._node_id is None:
            return
        try:
            with self._lock:
                self._sent_s = time.monotonic()
                send_message(self._message(self._node_id, state), EVENT)
        except Exception as error:  # the border between a session and those who watch it
            if self._can_send:
                _log.warning("the page gets no message of the session: %s", error)
            self._can_send = False

    def _message(self, node_id: str, state: str) -> LiveMessage:
        session, limits = self._session, self._limits
        row = {} if session is None else session.row()
        output = self._output
        is_there = state != LIVE and output is not None and is_file(output.path)
        return LiveMessage(
            node=node_id,
            workflow=self._workflow,
            session=None if session is None else session.id,
            state=state,
            text=self._text,
            source=self._start.source,
            rate_hz=self._start.rate,
            speaking=self._is_speaking and state == LIVE,
            seconds=row.get("seconds", 0.0),
            limit_s=limits.session_s,
            silence_s=0.0 if session is None else round(session.silence_s, 1),
            silence_limit_s=limits.idle_s,
            chunk_s=self._chunk_s,
            factor=None if self._factor is None else round(self._factor, 3),
            response_ms=row.get("response_median_ms"),
            clear_ms=row.get("clear_max_ms"),
            waiting_s=round(row.get("waiting_frames", 0) / 25, 1),
            held=row.get("held", 0),
            reason=self._reason,
            file=file_message(output) if is_there else None,
            notes=list(self._notes),
        )

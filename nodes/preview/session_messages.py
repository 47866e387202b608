"""Messages to the page about a live session. This table is all that js/ knows of it.

``js/lib/live_messages.js`` mirrors it; a test compares the two.
"""

from __future__ import annotations

from typing import TypedDict

from .messages import FileMessage

EVENT = "flashtalk.live"
"""Name of the message on the page's socket."""
ROUTE = "/flashtalk/live/{session}"
"""A WebSocket of the live protocol; without one, the last message as JSON."""
STREAM, SAY, HEAR, CLEAR, END = "/stream", "/say", "/hear", "/clear", "/end"
"""Behind it: the video; an utterance as a body; what a microphone hears, piece by piece; stop
speaking; end the session."""

IDLE_FRAMES = "drawing the idle frames, and measuring chunks"
SLOW = (
    "a chunk takes {factor:.2f} times as long as it is shown, so that the picture stops and goes; "
    "use a smaller size or fewer steps"
)

WIDGET = "flashtalk_live"
"""Name and type of the widget."""

CLOSED, LIMIT, SILENT = "closed", "limit", "idle"
"""Why a session ended that was neither stopped nor failed: at its End button, after its longest
time, after its longest silence."""


class LiveMessage(TypedDict):
    """State of a live session, for the client that queued it.

    Sent at the start, when ``text`` or ``speaking`` changes, each second, and at the end.
    """

    node: str
    """Node that runs, as an execution id: ``12:3`` is node 3 in subgraph node 12."""
    workflow: str | None
    """Id of its workflow; ``None`` if the prompt came without one."""
    session: str | None
    """Names the session, and is the permission to watch, feed and end it; ``None`` before it
    begins."""
    state: str
    """One of ``STATES`` of the preview's messages, but ``copied``."""
    text: str | None
    """What is being done before the session begins."""
    source: str
    """``microphone`` or ``speech``."""
    rate_hz: int
    """Of the session's sound, mono; other rates are converted."""
    speaking: bool
    seconds: float
    """Since it began."""
    limit_s: float
    """After which it ends."""
    silence_s: float
    """Since somebody spoke."""
    silence_limit_s: float
    """After which it ends."""
    chunk_s: float
    """Length of a chunk: what a microphone waits for."""
    factor: float | None
    """Time of a chunk over its length; ``None`` before it was measured."""
    response_ms: float | None
    """From the first sound of an utterance to its first frame, the median; ``None`` before one."""
    clear_ms: float | None
    """From an interruption to the last frame of speech, the longest; ``None`` before one."""
    waiting_s: float
    """Of sound that waits to be spoken."""
    held: int
    """Frames that showed the last picture again."""
    reason: str | None
    """What went wrong, one line, or why it ended: ``closed``, ``limit``, ``idle``."""
    file: FileMessage | None
    """The recording, once the session is over."""
    notes: list[str]
    """What the user should know, a sentence each."""

"""Messages to the page about a stream. This table is all that js/ knows of Python.

``js/lib/messages.js`` mirrors it; a test compares the two.
"""

from __future__ import annotations

from typing import TypedDict

EVENT = "flashtalk.stream"
"""Name of the message on the page's socket."""
ROUTE = "/flashtalk/stream/{session}"
"""Where the bytes come from: fragmented MP4. ``?from=`` is a time in milliseconds."""
MESSAGE_ROUTE = f"{ROUTE}/message"
"""Where its last message is, as JSON, for a page that missed it; also when the stream has ended."""
FROM = "from"
WIDGET = "flashtalk_preview"
"""Name and type of the widget."""

LIVE = "live"
"""Being rendered; there is a stream."""
FINISHED = "finished"
"""Rendered; there is a file."""
COPIED = "copied"
"""Copied from a render that was kept; there is a file."""
INTERRUPTED = "interrupted"
"""Stopped by the user; there is a file of what was rendered, if anything was."""
FAILED = "failed"
"""Stopped by an error, which ``reason`` describes; otherwise as :data:`INTERRUPTED`."""
STATES = (LIVE, FINISHED, COPIED, INTERRUPTED, FAILED)


CHECKING = "checking"
COPYING = "copying the render that was kept"
ENCODING = "encoding the portrait and the prompt"
READING = "reading weights: {network}"
FINISHING = "finishing the file"
RESUMED = "goes on from {seconds:.1f} s: {frames} frames are there of a run that was interrupted"
CONVERTING = "writing the {container} file"
NETWORKS = {
    "TextEncoder": "text encoder",
    "ClipVision": "CLIP vision",
    "VideoVAE": "VAE",
    "LightVAE": "light VAE",
    "AvatarDiT": "transformer",
    "AudioEncoder": "audio encoder",
}
"""What the Model Loader calls the networks, by class."""


class FileMessage(TypedDict):
    """A file as ComfyUI's ``/view`` takes it."""

    filename: str
    subfolder: str
    type: str


class StreamMessage(TypedDict):
    """State of a render, for the client that queued it.

    Sent at the start, when ``text`` changes, after each chunk and at the end.
    """

    node: str
    """Node that renders, as an execution id: ``12:3`` is node 3 in subgraph node 12."""
    workflow: str | None
    """Id of its workflow; ``None`` if the prompt came without one."""
    session: str | None
    """Names the stream; ``None`` if there is none."""
    state: str
    """One of :data:`STATES`."""
    chunk: int
    """Chunks rendered."""
    num_chunks: int
    frames: int
    """Frames rendered."""
    num_frames: int
    """Frames of the whole video."""
    frame_rate_hz: int
    frames_per_s: float
    """Speed of the render; 0 before the first chunk."""
    dropped: int
    """Viewers that were too slow."""
    file: FileMessage | None
    """Video that is complete, or what is left of one that was stopped; ``None`` while live."""
    reason: str | None
    """What went wrong, one line."""
    text: str | None
    """What is being done other than rendering, one of the texts above; ``None`` while rendering."""
    notes: list[str]
    """What the user should know about this render, a sentence each."""
    left_s: float | None
    """Estimated seconds left; ``None`` before the first chunk and after the end."""
    partial: FileMessage | None
    """The growing file, which plays at any moment: while live, and after a stop if it is left."""

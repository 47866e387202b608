"""A render as the page follows it: a stream, and messages about activity and progress."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import comfy.model_management as management

from ...flashtalk_core.excerpt import first_line
from ...flashtalk_core.files.paths import is_file
from ...flashtalk_core.geometry import num_chunks, num_video_frames
from ...flashtalk_core.log import printable_log
from ...flashtalk_core.media.isobmff.boxes import has_whole_fragment
from ...flashtalk_core.media.isobmff.live import LiveMp4
from ...flashtalk_core.streaming.pacing import measure_pace
from ..host.output import OutputFile
from .messages import (
    CHECKING,
    COPIED,
    ENCODING,
    FAILED,
    FINISHED,
    FINISHING,
    INTERRUPTED,
    LIVE,
    NETWORKS,
    READING,
    RESUMED,
    FileMessage,
    StreamMessage,
)
from .streams import send_message, stream_sessions

if TYPE_CHECKING:
    from torch import Tensor

    from ...flashtalk_core.engine.plan import RenderPlan
    from ...flashtalk_core.streaming.broadcast import Broadcast

_log = printable_log(logging.getLogger(__name__))

_MAX_REASON = 500
"""Most characters of an error's sentence: long paths fit, a whole tensor does not."""


class LivePreview:
    """Reports a render to the page. Enter it before anything can fail."""

    def __init__(self, plan: RenderPlan, node_id: str | None, workflow: str | None) -> None:
        """Send nothing yet.

        Args:
            plan: What is rendered.
            node_id: Node that renders.
            workflow: Id of its workflow, if known.
        """
        audio, self._chunk = plan.audio, plan.chunk
        assert audio.num_samples is not None, "the page shows how much is left"
        rate_hz = self._chunk.frame_rate_hz
        self._num_frames = num_video_frames(audio.num_samples, audio.rate_hz, rate_hz)
        self._num_chunks = num_chunks(self._num_frames, self._chunk)
        self._node_id, self._workflow = node_id, workflow
        self._text: str | None = CHECKING
        self._notes: list[str] = []
        self._frames = self._num_resumed = 0
        self._start_s = time.monotonic()
        self._session: str | None = None
        self._stream: Broadcast | None = None
        self._partial: OutputFile | None = None
        self._final: OutputFile | None = None
        self._end: tuple[str, OutputFile] | None = None
        self._can_send = True

    def __enter__(self) -> Self:
        self._send(LIVE)
        return self

    def note(self, notes: Iterable[str]) -> None:
        """Add what the user should know about the render; the next message carries it."""
        self._notes += (note for note in notes if note not in self._notes)

    def say(self, text: str | None) -> None:
        """Report the current activity; ``None`` is rendering."""
        if text != self._text:
            self._text = text
            self._send(LIVE)

    def reading(self, kind: type) -> None:
        """Report which network is read."""
        self.say(READING.format(network=NETWORKS.get(kind.__name__, kind.__name__)))

    def open_stream(self) -> LiveMp4:
        """Open a stream; return the sink for the packets that its viewers are to get."""
        self._session, self._stream = stream_sessions().open()
        return LiveMp4(self._stream)

    def start(self, partial: OutputFile, final: OutputFile) -> None:
        """Report the start of the render into a file that grows, and takes its place when whole."""
        self._partial, self._final = partial, final
        self.say(ENCODING)

    def go_on(self, num_frames: int) -> None:
        """Report that an interrupted render goes on behind its first ``num_frames`` frames."""
        self._frames = self._num_resumed = num_frames
        rate_hz = self._chunk.frame_rate_hz
        self.note([RESUMED.format(frames=num_frames, seconds=num_frames / rate_hz)])

    def start_clock(self) -> None:
        """Count the time from here: everything is loaded."""
        self._start_s = time.monotonic()
        self.say(None)

    @property
    def is_watched(self) -> bool:
        """Whether the stream has viewers."""
        return self._stream is not None and self._stream.num_viewers > 0

    def add_frames(self, frames: Tensor) -> None:
        """Count written frames ``(f, H, W, 3)``; report each whole chunk."""
        self._frames += len(frames)
        is_last = self._frames == self._num_frames
        if is_last or self._text is not None or self._frames % self._chunk.num_new_frames == 0:
            self._text = FINISHING if is_last else None
            self._send(LIVE)

    def finish(self, output: OutputFile, *, is_copy: bool = False) -> None:
        """Report the finished file, once everything is left in order."""
        self._end = (COPIED if is_copy else FINISHED, output)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            stream_sessions().close(self._session)
        self._text = None
        if error is None:
            assert self._end is not None
            self._send(*self._end)
            return
        stopped = isinstance(error, management.InterruptProcessingException)
        self.note(getattr(error, "__notes__", ()))
        files = [file for file in (self._partial, self._final) if file is not None]
        left = next((file for file in files if is_file(file.path)), None)
        reason = None if stopped else first_reason(error)
        self._send(INTERRUPTED if stopped else FAILED, left, reason)

    def _send(
        self, state: str, output: OutputFile | None = None, reason: str | None = None
    ) -> None:
        """Send a message. What fails here must not end the render, nor hide why it ended."""
        if self._node_id is None:
            return
        try:
            send_message(self._message(self._node_id, state, output, reason))
        except Exception as error:  # the border between a render and those who watch it
            if self._can_send:
                _log.warning("the page gets no message of the render: %s", error)
            self._can_send = False

    def _message(
        self, node_id: str, state: str, output: OutputFile | None, reason: str | None
    ) -> StreamMessage:
        frames = self._num_frames if state in (FINISHED, COPIED) else self._frames
        elapsed_s = time.monotonic() - self._start_s
        num_new = self._frames - self._num_resumed
        frames_per_s = measure_pace(num_new, elapsed_s)
        # A last chunk that the end of the audio cuts short takes as long as any other.
        is_whole = frames == self._num_frames
        chunks = self._num_chunks if is_whole else frames // self._chunk.num_new_frames
        left = (self._num_chunks - chunks) * self._chunk.num_new_frames
        left_s = left / frames_per_s if num_new else None
        return StreamMessage(
            node=node_id,
            workflow=self._workflow,
            session=self._session,
            state=state,
            chunk=chunks,
            num_chunks=self._num_chunks,
            frames=frames,
            num_frames=self._num_frames,
            frame_rate_hz=self._chunk.frame_rate_hz,
            frames_per_s=round(frames_per_s, 2),
            dropped=0 if self._stream is None else self._stream.num_dropped,
            file=file_message(output),
            reason=reason,
            text=self._text,
            notes=list(self._notes),
            left_s=round(left_s, 1) if state == LIVE and left_s is not None else None,
            partial=file_message(self._growing(state)),
        )

    def _growing(self, state: str) -> OutputFile | None:
        """Return the partial file if there is something in it that plays."""
        if self._partial is None or state in (FINISHED, COPIED):
            return None
        return self._partial if has_whole_fragment(self._partial.path) else None


def workflow_id(extra_pnginfo: Any) -> str | None:
    """Return the id of the workflow that was queued, ``None`` if it came without one."""
    workflow = (extra_pnginfo or {}).get("workflow")
    found = workflow.get("id") if isinstance(workflow, dict) else None
    return found if isinstance(found, str) else None


def file_message(output: OutputFile | None) -> FileMessage | None:
    """Return a file as the page asks for it, ``None`` of none."""
    if output is None:
        return None
    return FileMessage(filename=output.path.name, subfolder=output.subfolder, type="output")


def first_reason(error: BaseException) -> str:
    """Return the first line of an error, cut to a sane length."""
    line = first_line(error) or type(error).__name__
    return line if len(line) <= _MAX_REASON else f"{line[: _MAX_REASON - 3]}..."

"""A render as the page follows it: a stream, and a message at the start, each chunk and the end."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import comfy.model_management as management

from ..flashtalk_core.geometry import num_chunks, num_video_frames
from ..flashtalk_core.streaming.pacing import measure_pace
from .host.output import OutputFile
from .host.streams import send_message, stream_sessions
from .preview import COPIED, FAILED, FINISHED, INTERRUPTED, LIVE, FileMessage, StreamMessage

if TYPE_CHECKING:
    from torch import Tensor

    from ..flashtalk_core.engine.plan import RenderPlan
    from ..flashtalk_core.media.mp4 import Mp4Writer
    from ..flashtalk_core.streaming.broadcast import Broadcast


class LivePreview:
    """Tells all tabs how a render goes. Enter it before anything can fail."""

    def __init__(self, plan: RenderPlan, node_id: str | None, workflow: str | None) -> None:
        """Tell nothing yet.

        Args:
            plan: What is rendered.
            node_id: Node that renders.
            workflow: Id of its workflow, if known.
        """
        sound, self._chunk = plan.sound, plan.chunk
        rate_hz = self._chunk.frame_rate_hz
        self._num_frames = num_video_frames(sound.num_samples, sound.rate_hz, rate_hz)
        self._node_id, self._workflow = node_id, workflow
        self._frames = 0
        self._start_s = time.monotonic()
        self._session: str | None = None
        self._stream: Broadcast | None = None
        self._left: list[OutputFile] = []
        self._end: tuple[str, OutputFile] | None = None

    def __enter__(self) -> Self:
        return self

    def start(self, writer: Mp4Writer, output: OutputFile) -> None:
        """Open a stream for what ``writer`` writes."""
        self._session, self._stream = stream_sessions().open()
        writer.send_live(self._stream)
        files = writer.output.partial, writer.output.final
        self._left = [OutputFile(path, output.subfolder) for path in files]
        self._tell(LIVE)

    def start_clock(self) -> None:
        """Count the time from here: everything is loaded."""
        self._start_s = time.monotonic()

    @property
    def is_watched(self) -> bool:
        """Whether somebody sees the stream."""
        return self._stream is not None and self._stream.num_viewers > 0

    def add_frames(self, frames: Tensor) -> None:
        """Count written frames ``(f, H, W, 3)``; tell of each whole chunk."""
        self._frames += len(frames)
        if self._frames % self._chunk.num_new_frames == 0 or self._frames == self._num_frames:
            self._tell(LIVE)

    def finish(self, output: OutputFile, *, is_copy: bool = False) -> None:
        """Tell of the finished file, once everything is left in order."""
        self._end = (COPIED if is_copy else FINISHED, output)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            stream_sessions().close(self._session)
        if error is None:
            assert self._end is not None
            state, output = self._end
            self._tell(state, output)
            return
        stopped = isinstance(error, management.InterruptProcessingException)
        left = next((file for file in self._left if file.path.exists()), None)
        reason = None if stopped else _first_line(error)
        self._tell(INTERRUPTED if stopped else FAILED, left, reason)

    def _tell(
        self, state: str, output: OutputFile | None = None, reason: str | None = None
    ) -> None:
        if self._node_id is None:
            return
        frames = self._num_frames if state in (FINISHED, COPIED) else self._frames
        elapsed_s = time.monotonic() - self._start_s
        pace = measure_pace(self._frames, elapsed_s, self._chunk.frame_rate_hz)
        send_message(
            StreamMessage(
                node=self._node_id,
                workflow=self._workflow,
                session=self._session,
                state=state,
                chunk=-(-frames // self._chunk.num_new_frames),
                num_chunks=num_chunks(self._num_frames, self._chunk),
                frames=frames,
                num_frames=self._num_frames,
                frame_rate_hz=self._chunk.frame_rate_hz,
                frames_per_s=round(pace.frames_per_s, 2),
                dropped=0 if self._stream is None else self._stream.num_dropped,
                file=None if output is None else _file_message(output),
                reason=reason,
                text=None,
                notes=[],
                left_s=None,
                partial=None,
            )
        )


def workflow_id(extra_pnginfo: Any) -> str | None:
    """Return the id of the workflow that was queued, ``None`` if it came without one."""
    workflow = (extra_pnginfo or {}).get("workflow")
    found = workflow.get("id") if isinstance(workflow, dict) else None
    return found if isinstance(found, str) else None


def _file_message(output: OutputFile) -> FileMessage:
    return FileMessage(filename=output.path.name, subfolder=output.subfolder, type="output")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

"""Progress of a render in the graph: a bar, a picture and a line of text on the node."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import comfy.model_management as management
import comfy.utils
from PIL import Image

from ...flashtalk_core.geometry import num_chunks

if TYPE_CHECKING:
    from torch import Tensor

    from ...flashtalk_core.engine.plan import RenderPlan

_PREVIEW_PX = 512
_TICKS = 1000
"""Parts of a chunk that the bar counts."""
_PICTURE_GONE_S = 0.6
"""How long the page takes to drop the last picture, and a little more."""
_STEPS_SHARE = 0.7
"""Part of a chunk's time that is taken for denoising; the rest goes to its frames."""


class RenderProgress:
    """Moves the bar with each step and each group of frames, and stops on request."""

    def __init__(
        self,
        plan: RenderPlan,
        total_frames: int,
        node_id: str | None,
        has_pictures: Callable[[], bool] = lambda: True,
    ) -> None:
        """Show an empty bar.

        Args:
            plan: What is rendered.
            total_frames: Frames of the video.
            node_id: Node that shows it.
            has_pictures: Whether pictures are to be shown at this moment.
        """
        self._has_pictures = has_pictures
        self._chunk_frames = plan.chunk.num_new_frames
        self._steps = plan.request.sampling.steps
        self._total_frames = total_frames
        self._num_chunks = num_chunks(total_frames, plan.chunk)
        self._node_id = node_id
        self._bar = comfy.utils.ProgressBar(self._num_chunks * _TICKS, node_id=node_id)
        self._reading: type | None = None
        self._num_frames = 0
        self._start_s = time.monotonic()

    def reading(self, kind: type) -> None:
        """Stop if asked for; say once which network is read."""
        management.throw_exception_if_processing_interrupted()
        if self._reading is not kind:
            self._reading = kind
            send_text(f"reading weights: {kind.__name__}", self._node_id)

    def start(self) -> None:
        """Start the clock: everything is loaded."""
        self._start_s = time.monotonic()

    def before_step(self, step: int) -> None:
        """Stop if ComfyUI's user asked for it; else show that ``step`` begins."""
        management.throw_exception_if_processing_interrupted()
        chunk = self._num_frames // self._chunk_frames
        self._show(chunk + _STEPS_SHARE * step / self._steps)

    def add_frames(self, frames: Tensor) -> None:
        """Count written frames ``(f, H, W, 3)`` uint8; show the last one of each chunk."""
        self._num_frames += len(frames)
        chunk, in_chunk = divmod(self._num_frames, self._chunk_frames)
        is_last = self._num_frames == self._total_frames
        if is_last or in_chunk == 0:
            # A chunk cut short by the end of the sound counts as whole.
            self._show(self._num_chunks if is_last else chunk, frames[-1])
            self._tell()
        else:
            share = _STEPS_SHARE + (1 - _STEPS_SHARE) * in_chunk / self._chunk_frames
            self._show(chunk + share)
        management.throw_exception_if_processing_interrupted()

    def finish(self) -> None:
        """Make room for the finished video: the page shows a node's last picture instead of it.

        The picture goes away some 400 ms after a state of progress in which the node is not
        named. Seen with frontend 1.49.6.
        """
        from comfy_execution.progress import get_progress_state
        from server import PromptServer

        server = getattr(PromptServer, "instance", None)
        if server is not None:
            state = {"prompt_id": get_progress_state().prompt_id, "nodes": {}}
            server.send_sync("progress_state", state, server.client_id)
            self._show(self._num_chunks)
            time.sleep(_PICTURE_GONE_S)

    def _show(self, chunks: float, frame: Tensor | None = None) -> None:
        value = round(chunks * _TICKS)
        if frame is None or not self._has_pictures():
            self._bar.update_absolute(value)
            return
        preview = ("JPEG", Image.fromarray(frame.numpy()), _PREVIEW_PX)
        self._bar.update_absolute(value, preview=preview)

    def _tell(self) -> None:
        elapsed_s = time.monotonic() - self._start_s
        rate = self._num_frames / max(elapsed_s, 1e-3)
        left_s = (self._total_frames - self._num_frames) / rate
        chunk = -(-self._num_frames // self._chunk_frames)
        send_text(
            f"chunk {chunk}/{self._num_chunks}, {rate:.1f} frames/s, {left_s:.0f} s left",
            self._node_id,
        )


def send_text(text: str, node_id: str | None) -> None:
    """Show a line of text on a node."""
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    if server is not None and node_id is not None:
        server.send_progress_text(text, node_id, server.client_id)

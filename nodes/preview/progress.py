"""Progress of a render in the graph: a bar, and an image on the node."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import comfy.model_management as management
import comfy.utils
from PIL import Image

from ...flashtalk_core.geometry import num_chunks
from ...flashtalk_core.log import printable_log

if TYPE_CHECKING:
    from torch import Tensor

    from ...flashtalk_core.engine.plan import RenderPlan

_log = printable_log(logging.getLogger(__name__))

_PREVIEW_PX = 512
_TICKS = 1000
"""Parts of a chunk that the bar counts."""
_IMAGE_GONE_S = 0.6
"""Time in which the page drops the last image, with a margin."""
_STEPS_SHARE = 0.7
"""Share of a chunk's time that counts as denoising; the rest goes to its frames."""


class RenderProgress:
    """Moves the bar with each step and each group of frames, and stops on request."""

    def __init__(
        self,
        plan: RenderPlan,
        total_frames: int,
        node_id: str | None,
        has_images: Callable[[], bool] = lambda: True,
        num_done: int = 0,
    ) -> None:
        """Show an empty bar.

        Args:
            plan: What is rendered.
            total_frames: Frames of the video.
            node_id: Node that shows it.
            has_images: Whether images are to be shown at this moment.
            num_done: Frames that an earlier run has written.
        """
        self._has_images = has_images
        self._chunk_frames = plan.chunk.num_new_frames
        self._steps = plan.request.sampling.steps
        self._total_frames = total_frames
        self._num_chunks = num_chunks(total_frames, plan.chunk)
        self._node_id = node_id
        self._num_frames = num_done
        self._has_shown = False
        self._can_show = True
        self._bar: Any = None
        with self._guarded():
            self._bar = comfy.utils.ProgressBar(self._num_chunks * _TICKS, node_id=node_id)

    def stop_if_asked(self) -> None:
        """Raise ComfyUI's own exception if its user asked to stop."""
        management.throw_exception_if_processing_interrupted()

    def before_step(self, step: int) -> None:
        """Stop if asked to; else show that ``step`` begins."""
        self.stop_if_asked()
        chunk = self._num_frames // self._chunk_frames
        self._show(chunk + _STEPS_SHARE * step / self._steps)

    def add_frames(self, frames: Tensor) -> None:
        """Count written frames ``(f, H, W, 3)`` uint8; show the last one of each chunk."""
        self._num_frames += len(frames)
        chunk, in_chunk = divmod(self._num_frames, self._chunk_frames)
        is_last = self._num_frames == self._total_frames
        if is_last or in_chunk == 0:
            # A chunk cut short by the end of the audio counts as whole.
            self._show(self._num_chunks if is_last else chunk, frames[-1])
        else:
            share = _STEPS_SHARE + (1 - _STEPS_SHARE) * in_chunk / self._chunk_frames
            self._show(chunk + share)
        self.stop_if_asked()

    def finish(self) -> None:
        """Hide the last image, which the page would show instead of the finished video.

        The image goes away some 400 ms after a state of progress in which the node is not
        named. Seen with frontend 1.49.6. Without an image there is nothing to wait for.
        """
        is_hiding = False
        with self._guarded():
            is_hiding = self._has_shown and _hide_images()
        if is_hiding:
            self._show(self._num_chunks)
            time.sleep(_IMAGE_GONE_S)

    def _show(self, chunks: float, frame: Tensor | None = None) -> None:
        value = round(chunks * _TICKS)
        with self._guarded():
            if self._bar is None:
                return
            if frame is None or not self._has_images():
                self._bar.update_absolute(value)
                return
            self._has_shown = True
            preview = ("JPEG", Image.fromarray(frame.numpy()), _PREVIEW_PX)
            self._bar.update_absolute(value, preview=preview)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Keep errors inside from ending the render; a requested interrupt does end it."""
        try:
            yield
        except management.InterruptProcessingException:
            raise
        except Exception as error:  # the border between a render and those who watch it
            if self._can_show:
                _log.warning("the page does not see the progress: %s", error)
            self._can_show = False


def _hide_images() -> bool:
    """Have the client drop the images of all nodes; return whether there is a client."""
    from comfy_execution.progress import get_progress_state
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    client = getattr(server, "client_id", None)
    if server is None or client is None:
        return False
    state = {"prompt_id": get_progress_state().prompt_id, "nodes": {}}
    server.send_sync("progress_state", state, client)
    return True

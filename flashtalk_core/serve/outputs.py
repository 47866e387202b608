"""What takes the frames of a session away from its clock: threads with bounded queues.

Axis legend: F frames, H W pixels.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Full, Queue
from threading import Thread
from typing import Protocol

import numpy as np
from torch import Tensor

from ..errors import FlashTalkError
from ..live.shown import Shown
from ..log import printable_log
from .protocol import Format, pack_frame

_log = printable_log(logging.getLogger(__name__))

QUEUED_FRAMES = 50
"""Frames that may wait for one output, 2 s; one that falls further behind is ended."""
RECORDED_FRAMES = 500
FINISH_S = 30.0
"""How long an output may take for what waits, once its session ends: a recording may be 20 s
behind."""
_JPEG_QUALITY = 90


class Output(Protocol):
    """Takes frames, in a thread of its own."""

    def take(self, shown: Shown) -> None:
        """Take the next frame."""
        ...

    def close(self, *, is_whole: bool) -> None:
        """End; ``is_whole`` unless frames were lost."""
        ...


class OutputThread(Thread):
    """Hands frames to an output; the clock never waits for it."""

    def __init__(
        self,
        name: str,
        output: Output,
        on_end: Callable[[OutputThread], object],
        capacity: int = QUEUED_FRAMES,
        on_first: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Start.

        Args:
            name: Of the output, for the log.
            output: Takes the frames.
            on_end: Called, in this thread, when it has ended by itself: it fell behind or failed.
            capacity: Frames that may wait.
            on_first: Called, in this thread, with the number of the first frame.
        """
        super().__init__(name=f"live-{name}", daemon=True)
        self._output = output
        self._on_end = on_end
        self._on_first: Callable[[int], object] | None = on_first
        self._capacity = capacity
        self._queue: Queue[Shown | None] = Queue(capacity + 1)  # with room for the end
        self._is_behind = False
        self._is_closed = False
        self.start()

    def put(self, shown: Shown) -> None:
        """Hand over a frame; returns at once."""
        if self._is_behind or self._is_closed:
            return
        if self._queue.qsize() >= self._capacity:
            self._is_behind = True
        else:
            self._queue.put_nowait(shown)

    def end(self) -> None:
        """Take no more, and end after what waits; returns at once."""
        self._is_closed = True
        with suppress(Full):  # it was told before
            self._queue.put_nowait(None)

    def wait(self, timeout_s: float) -> None:
        """Wait for the end, but not for ever; not from its own thread."""
        self.join(timeout_s)
        if self.is_alive():
            _log.error("%s did not end in %g s and was left behind", self.name, FINISH_S)

    def run(self) -> None:
        """Hand over frames until it is closed."""
        is_whole = False
        try:
            while not self._is_behind:
                shown = self._queue.get()
                if shown is None:
                    is_whole = True
                    break
                if self._on_first is not None:
                    self._on_first(shown.frame)
                    self._on_first = None
                self._output.take(shown)
            if not is_whole:
                _log.warning("%s fell %d frames behind and was ended", self.name, self._capacity)
        except FlashTalkError as error:  # of the disk
            _log.error("%s was ended, and the session goes on without: %s", self.name, error)
        except Exception:  # the border between a session and one that takes its frames
            _log.exception("%s failed and was ended", self.name)
        try:
            self._output.close(is_whole=is_whole)
        except Exception:  # as above
            _log.exception("%s could not be ended properly", self.name)
        if not self._is_closed:
            self._on_end(self)
            self._is_closed = True
        while not self._queue.empty():  # whoever knows the thread would hold the frames with it
            self._queue.get_nowait()


def finish(threads: Iterable[OutputThread]) -> None:
    """End outputs after what waits; all together may take as long as one, :data:`FINISH_S`."""
    threads = list(threads)
    for thread in threads:
        thread.end()
    ends_s = time.monotonic() + FINISH_S
    for thread in threads:
        thread.wait(max(0.0, ends_s - time.monotonic()))


class FrameOutput:
    """Sends each frame with its sound as one message."""

    def __init__(self, pictures: Format, send: Callable[[bytes], object]) -> None:
        """Encode pictures as ``pictures``; ``send`` takes messages, in the output's thread."""
        self._encode = _ENCODERS[pictures]
        self._send = send

    def take(self, shown: Shown) -> None:
        """Encode and send; see :class:`Output`."""
        self._send(pack_frame(shown, self._encode(shown.picture)))

    def close(self, *, is_whole: bool) -> None:
        """Do nothing; see :class:`Output`."""


def jpeg_of(picture: Tensor) -> bytes:
    """Return ``(H, W, 3)`` uint8 as a JPEG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture.numpy()).save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()


def i420_of(picture: Tensor) -> bytes:
    """Return ``(H, W, 3)`` uint8 as planes Y, U, V of 4:2:0, BT.709, limited range."""
    from av import VideoFrame
    from av.video.reformatter import ColorRange, Colorspace

    frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture.numpy()), format="rgb24")
    planes = frame.reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )
    return planes.to_ndarray().tobytes()


def rgb_of(picture: Tensor) -> bytes:
    """Return ``(H, W, 3)`` uint8 as it is."""
    return picture.contiguous().numpy().tobytes()


_ENCODERS: dict[str, Callable[[Tensor], bytes]] = {
    "jpeg": jpeg_of, "i420": i420_of, "rgb": rgb_of,
}  # fmt: skip

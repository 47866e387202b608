"""A file of what was shown: a sink of the clock.

Axis legend: H W pixels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from ..media.audio.info import AudioInfo
from ..media.video.writer import Mp4Writer
from .audio.framer import AudioFormat
from .audio.growing import GrowingAudio
from .shown import Shown

_HELD_FRAMES = 12
"""Frames that wait for the sound after them: AAC is encoded in frames of its own."""
_HELD_S = 10


class Recording:
    """Writes frames and sound as they left the clock, held pictures included.

    Encoding takes time, so it suits a clock in virtual time; in real time a thread stands between.
    """

    def __init__(
        self,
        path: Path,
        size_px: tuple[int, int],
        sound: AudioFormat,
        comment: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Check that the file can be written; see :class:`Mp4Writer`.

        Args:
            path: Of the video, ``.mp4``.
            size_px: Height and width.
            sound: Of the session.
            comment: Stored in the file: that its images are generated, and how.
            metadata: More texts for the file, by name.
        """
        self._audio = GrowingAudio(
            "of a recording",
            sound.rate_hz,
            sound.channels,
            sound.layout,
            max_samples=_HELD_S * sound.rate_hz,
        )
        self._writer = Mp4Writer(
            path,
            size_px,
            AudioInfo.growing(self._audio),
            sound.frame_rate_hz,
            metadata=({"comment": comment} if comment else {}) | dict(metadata or {}),
        )
        self._pictures: deque[Tensor] = deque()
        self._stack = ExitStack()
        self._is_open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Complete the file, or leave what there is in the partial one."""
        self._audio.close()
        if exception is not None:
            self._stack.__exit__(kind, exception, traceback)
            return
        with self._stack:
            self._write(0)

    def show(self, shown: Shown, now_s: float) -> None:  # noqa: ARG002
        """Take a frame; see ``LiveSink``."""
        self._audio.append(shown.sound)
        self._pictures.append(shown.picture)
        self._write(_HELD_FRAMES)

    def _write(self, num_held: int) -> None:
        ready = [self._pictures.popleft() for _ in range(len(self._pictures) - num_held)]
        if not ready:
            return
        if not self._is_open:
            self._stack.enter_context(self._writer)
            self._is_open = True
        self._writer.write(torch.stack(ready))

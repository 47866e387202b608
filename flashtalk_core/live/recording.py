"""A file of what was shown: a sink of the clock.

Axis legend: H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from torch import Tensor

from ..media.video.audio_track import aac_rate_hz
from ..media.video.writer import Mp4Writer
from .audio.framer import AudioFormat
from .held_pictures import HeldPictures
from .shown import Shown


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
        self._held = HeldPictures("of a recording", sound, aac_rate_hz(sound.rate_hz))
        self._writer = Mp4Writer(
            path,
            size_px,
            self._held.audio,
            sound.frame_rate_hz,
            metadata=({"comment": comment} if comment else {}) | dict(metadata or {}),
        )
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
        left = self._held.finish()
        if exception is not None:
            self._stack.__exit__(kind, exception, traceback)
            return
        with self._stack:
            self._write(left)

    def show(self, shown: Shown, now_s: float) -> None:  # noqa: ARG002
        """Take a frame; see ``LiveSink``."""
        self._write(self._held.add(shown))

    def _write(self, pictures: Tensor | None) -> None:
        if pictures is None:
            return
        if not self._is_open:
            self._stack.enter_context(self._writer)
            self._is_open = True
        self._writer.write(pictures)

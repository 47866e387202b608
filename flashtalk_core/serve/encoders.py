"""Outputs of a session that encode its video.

Axis legend: H W pixels.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..live.audio.framer import AudioFormat
from ..live.audio.growing import GrowingAudio
from ..live.recording import Recording
from ..live.shown import Shown
from ..media.audio.info import AudioInfo
from ..media.isobmff.live import LiveMp4
from ..media.video.encoder import VideoEncoder
from ..streaming.broadcast import Broadcast

_AAC_SAMPLES = 1024
_GOP_FRAMES = 50
_FRAGMENT_FRAMES = 2


class FragmentOutput:
    """Encodes frames and sound for the viewers of a session, as fragments of MP4."""

    def __init__(self, stream: Broadcast, size_px: tuple[int, int], sound: AudioFormat) -> None:
        """Set up the encoder, with times that begin at 0.

        Args:
            stream: Takes the fragments.
            size_px: Height and width.
            sound: Of the session.
        """
        self._audio = GrowingAudio(
            "of a session", sound.rate_hz, sound.channels, sound.layout,
            max_samples=10 * sound.rate_hz,
        )  # fmt: skip
        self._encoder = VideoEncoder(
            size_px,
            AudioInfo.growing(self._audio),
            sound.frame_rate_hz,
            crf=23,
            preset="veryfast",
            chunk_frames=_GOP_FRAMES,
            sinks=[LiveMp4(stream, _FRAGMENT_FRAMES)],
            is_live=True,
        )
        # A frame is encoded with the whole AAC frames that its sound lies in.
        self._num_held = math.ceil(_AAC_SAMPLES / sound.rate_hz * sound.frame_rate_hz)
        self._pictures: deque[Tensor] = deque()
        self._encoder.open()

    def take(self, shown: Shown) -> None:
        """Encode; see :class:`Output`."""
        self._audio.append(shown.sound)
        self._pictures.append(shown.picture)
        while len(self._pictures) > self._num_held:
            self._encoder.write(self._pictures.popleft()[None])

    def close(self, *, is_whole: bool) -> None:
        """End the stream; see :class:`Output`."""
        self._audio.close()
        if is_whole and self._pictures:
            self._encoder.write(torch.stack(list(self._pictures)))
        self._encoder.close()


class RecordingOutput:
    """Writes what was shown into a file; see :class:`Recording`."""

    def __init__(
        self,
        path: Path,
        size_px: tuple[int, int],
        sound: AudioFormat,
        note: str,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Check that the file can be written; see :class:`Recording`."""
        self._recording = Recording(path, size_px, sound, note, metadata)

    def take(self, shown: Shown) -> None:
        """Encode; see :class:`Output`."""
        self._recording.show(shown, 0.0)

    def close(self, *, is_whole: bool) -> None:
        """Complete the file, or leave the partial one; see :class:`Output`."""
        error = None if is_whole else RuntimeError("frames are missing")
        self._recording.__exit__(type(error) if error else None, error, None)

"""Outputs of a session that encode its video.

Axis legend: H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..live.audio.framer import AudioFormat
from ..live.held_pictures import HeldPictures
from ..live.recording import Recording
from ..live.shown import Shown
from ..media.isobmff.live import LiveMp4
from ..media.video.encoder import VideoEncoder
from ..streaming.broadcast import Broadcast

_SLOWEST_RATE_HZ = 44_100
_RATE_HZ = 48_000
"""Of sound that comes at a lower rate than the slowest: frames of AAC have a fixed number of
samples, so at 16 kHz a picture would wait for its sound three times as long."""
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
        rate_hz = sound.rate_hz if sound.rate_hz >= _SLOWEST_RATE_HZ else _RATE_HZ
        self._held = HeldPictures("of a session", sound, rate_hz)
        self._encoder = VideoEncoder(
            size_px,
            self._held.audio,
            sound.frame_rate_hz,
            crf=23,
            preset="veryfast",
            chunk_frames=_GOP_FRAMES,
            sinks=[LiveMp4(stream, _FRAGMENT_FRAMES)],
            is_live=True,
        )
        self._encoder.open()

    def take(self, shown: Shown) -> None:
        """Encode; see :class:`Output`."""
        pictures = self._held.add(shown)
        if pictures is not None:
            self._encoder.write(pictures)

    def close(self, *, is_whole: bool) -> None:
        """End the stream; see :class:`Output`."""
        pictures = self._held.finish()
        if is_whole and pictures is not None:
            self._encoder.write(pictures)
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

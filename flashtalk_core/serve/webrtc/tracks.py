"""Pictures and sound of a session as tracks that aiortc sends."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Generic, TypeVar

import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame, VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from torch import Tensor

from ...live.audio.framer import AudioFormat
from ...live.shown import Shown
from .pieces import RATE_HZ, PieceCutter

_VIDEO_RATE_HZ = 90_000
_MAX_PICTURES = 5
_MAX_PIECES = 25
"""What may wait for an encoder; the oldest is dropped beyond it."""
T = TypeVar("T", AudioFrame, VideoFrame)


class _Track(MediaStreamTrack, Generic[T]):
    """Hands on what it is given, each at its time."""

    def __init__(self, kind: str, capacity: int) -> None:
        super().__init__()
        self.kind = kind
        self._queued: deque[tuple[float, T]] = deque(maxlen=capacity)
        self._news = asyncio.Event()

    def put(self, at_s: float, frame: T) -> None:
        """Hand over the next frame, which leaves at ``at_s`` of the loop's clock."""
        self._queued.append((at_s, frame))
        self._news.set()

    def stop(self) -> None:
        """End."""
        super().stop()
        self._news.set()

    async def recv(self) -> T:
        """Return the next frame, once it is time; what aiortc calls."""
        while not self._queued and self.readyState == "live":
            self._news.clear()
            await self._news.wait()
        if self.readyState != "live":
            raise MediaStreamError
        at_s, frame = self._queued.popleft()
        await asyncio.sleep(max(0.0, at_s - time.monotonic()))
        return frame


class SessionTracks:
    """An output of a session whose frames leave by two tracks, with times of its one clock.

    A frame leaves when the session's clock lets it, its sound in pieces that begin then, so what
    the sender reports tells a receiver which picture goes with which sound.
    """

    def __init__(
        self,
        sound: AudioFormat,
        loop: asyncio.AbstractEventLoop,
        on_end: Callable[[], object],
    ) -> None:
        """Begin with the next frame.

        Args:
            sound: Of the session.
            loop: Of the connection.
            on_end: Called in it once there are no more frames.
        """
        self.pictures: _Track[VideoFrame] = _Track("video", _MAX_PICTURES)
        self.sound: _Track[AudioFrame] = _Track("audio", _MAX_PIECES)
        self._format, self._loop, self._on_end = sound, loop, on_end
        self._cutter = PieceCutter(sound.rate_hz, sound.channels, sound.frame_rate_hz)

    def take(self, shown: Shown) -> None:
        """Hand over a frame; see ``Output``."""
        now_s = time.monotonic()
        picture = _picture_of(shown.picture)
        picture.pts = shown.frame * _VIDEO_RATE_HZ // self._format.frame_rate_hz
        picture.time_base = Fraction(1, _VIDEO_RATE_HZ)
        self._hand(self.pictures, now_s, picture)
        frame_s = shown.frame / self._format.frame_rate_hz
        for start, data in self._cutter.process(shown.frame, shown.sound):
            piece = _piece_of(data, self._format.channels)
            piece.pts = start
            # A resampler keeps some back, so the first may begin before the frame.
            self._hand(self.sound, now_s + start / RATE_HZ - frame_s, piece)

    def close(self, *, is_whole: bool) -> None:  # noqa: ARG002
        """End; see ``Output``."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._on_end)

    def _hand(self, track: _Track[T], at_s: float, frame: T) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(track.put, at_s, frame)


def _picture_of(picture: Tensor) -> VideoFrame:
    """Return ``(H, W, 3)`` uint8 as 4:2:0 in BT.601, which receivers take for granted."""
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture.numpy()), format="rgb24")
    return frame.reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.MPEG
    )


def _piece_of(data: bytes, channels: int) -> AudioFrame:
    """Return a piece in stereo; FFmpeg would make that of mono 3 dB quieter."""
    samples = np.repeat(np.frombuffer(data, np.int16).reshape(-1, channels), 2 // channels, axis=1)
    frame = AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="stereo")
    frame.sample_rate = RATE_HZ
    frame.time_base = Fraction(1, RATE_HZ)
    return frame

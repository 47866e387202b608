"""Sound as WebRTC carries it, pieces of 20 ms at 48 kHz, and as a session does.

Axis legend: C channels, n samples.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...media.audio.resampling import StreamResampler
from ...media.audio.source import Block
from ..protocol import pcm_of

RATE_HZ = 48_000
PIECE_SAMPLES = RATE_HZ // 50
MAX_GAP_S = 0.5
"""Longest gap that zeros are put into: lost packets, and pauses of a sender that sends no silence.
Beyond it the sender was away."""
_FULL_SCALE = np.float32(32_768)


class PieceCutter:
    """Cuts the sound of frames, one after the other, into pieces."""

    def __init__(self, rate_hz: int, channels: int, frame_rate_hz: int) -> None:
        """Cut nothing yet.

        Args:
            rate_hz: Of the session's sound.
            channels: Of it.
            frame_rate_hz: Of the video.
        """
        self._resampler = StreamResampler(rate_hz, RATE_HZ, channels)
        self._frame_samples = RATE_HZ // frame_rate_hz
        self._rest = np.zeros((channels, 0), np.float32)
        self._next: int | None = None

    def process(self, frame: int, sound: Block) -> Iterator[tuple[int, bytes]]:
        """Yield the pieces that are whole.

        Args:
            frame: Number of a frame, that after the one before.
            sound: Its sound, ``(C, n)`` float32.

        Yields:
            When a piece begins, in samples since frame 0, and it: s16le, channels interleaved.
        """
        if self._next is None:
            self._next = frame * self._frame_samples
        self._rest = np.concatenate([self._rest, self._resampler.process(sound)], axis=1)
        while self._rest.shape[1] >= PIECE_SAMPLES:
            piece, self._rest = self._rest[:, :PIECE_SAMPLES], self._rest[:, PIECE_SAMPLES:]
            yield self._next, pcm_of(piece)
            self._next += PIECE_SAMPLES


class Arrivals:
    """Turns what arrives into a session's sound."""

    def __init__(self, rate_hz: int, channels: int) -> None:
        """Begin with what arrives first.

        Args:
            rate_hz: Of the session's sound.
            channels: Of it.
        """
        self._rate_hz, self._channels = rate_hz, channels
        self._resampler: StreamResampler | None = None
        self._arriving_hz = 0
        self._next = 0

    def process(self, start: int, rate_hz: int, samples: NDArray[np.int16]) -> Block:
        """Return what is ready, ``(C, m)`` float32, zeros in the place of what is missing.

        Args:
            start: When the samples begin, in samples of the sender's clock.
            rate_hz: Of them; a sender may change it with its codec.
            samples: ``(n, 1)`` or ``(n, 2)``.
        """
        if self._resampler is None or rate_hz != self._arriving_hz:
            self._resampler = StreamResampler(rate_hz, self._rate_hz, self._channels)
            self._arriving_hz, self._next = rate_hz, start
        block = (samples.T / _FULL_SCALE).astype(np.float32)
        if len(block) != self._channels:
            block = np.repeat(block.mean(axis=0, keepdims=True), self._channels, axis=0)
        missing = start - self._next
        if 0 < missing <= MAX_GAP_S * rate_hz:
            block = np.pad(block, ((0, 0), (missing, 0)))
        self._next = start + len(samples)
        return self._resampler.process(block)

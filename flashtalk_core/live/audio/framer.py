"""Samples cut into the sound of one video frame each.

Axis legend: C channels, n samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...media.audio.analysis_mix import AnalysisMix, AnalysisMixer
from ...media.audio.source import Block

FADE_S = 0.005
"""Length of the fades that keep a cut from clicking."""


@dataclass(frozen=True)
class AudioFormat:
    """Of pushed audio, and how it is divided."""

    rate_hz: int
    channels: int
    layout: str = ""
    """FFmpeg's name of the channel layout; empty where there is none."""
    frame_rate_hz: int = 25
    analysis_rate_hz: int = 16_000

    @property
    def played_samples(self) -> int:
        """Samples of a frame as it is played."""
        return self.rate_hz // self.frame_rate_hz

    @property
    def heard_samples(self) -> int:
        """Samples of a frame as the model hears it."""
        return self.analysis_rate_hz // self.frame_rate_hz


@dataclass(frozen=True, eq=False)
class SoundFrame:
    """The sound of one video frame."""

    heard: NDArray[np.float32]
    """Mono at the analysis rate, ``(heard_samples,)``."""
    played: Block
    """As it was pushed, ``(C, played_samples)``."""
    num_samples: int
    """How many of ``played`` were pushed; the rest is padding."""

    def faded_out(self, rate_hz: int) -> SoundFrame:
        """Return its first 5 ms, fading; not counted as played, and not heard by the model."""
        length = min(self.played.shape[1], round(FADE_S * rate_hz))
        played = np.zeros_like(self.played)
        played[:, :length] = self.played[:, :length] * np.linspace(1, 0, length, dtype=np.float32)
        return SoundFrame(np.zeros_like(self.heard), played, 0)


class Framer:
    """Cuts one utterance into frames, its analysis signal along with it.

    What the model hears is what it hears of a file with the usual downmix, its loudness left as it
    is, to the bit and whatever the sizes of the blocks.
    """

    def __init__(self, sound: AudioFormat) -> None:
        self._format = sound
        mix = AnalysisMix.downmix(sound.layout, sound.channels)
        self._mixer = AnalysisMixer(mix, sound.rate_hz, sound.analysis_rate_hz)
        self._played = np.zeros((sound.channels, 0), np.float32)
        self._heard = np.zeros(0, np.float32)

    def process(self, block: Block) -> Iterator[SoundFrame]:
        """Feed ``(C, n)`` and yield the frames that are whole."""
        self._played = np.concatenate([self._played, block], axis=1)
        self._heard = np.concatenate([self._heard, self._mixer.process(block)])
        yield from self._whole_frames()

    def finish(self) -> Iterator[SoundFrame]:
        """Yield the rest, silence behind it."""
        self._heard = np.concatenate([self._heard, self._mixer.finish()])
        num_frames = -(-self._played.shape[1] // self._format.played_samples)
        missing = num_frames * self._format.heard_samples - len(self._heard)
        self._heard = np.pad(self._heard, (0, max(0, missing)))
        yield from self._whole_frames()
        rest = self._played.shape[1]
        if rest:
            padding = (0, self._format.played_samples - rest)
            played = np.pad(self._played, ((0, 0), padding))
            yield SoundFrame(self._heard[: self._format.heard_samples], played, rest)

    def _whole_frames(self) -> Iterator[SoundFrame]:
        num_played, num_heard = self._format.played_samples, self._format.heard_samples
        while self._played.shape[1] >= num_played and len(self._heard) >= num_heard:
            played, self._played = self._played[:, :num_played], self._played[:, num_played:]
            heard, self._heard = self._heard[:num_heard], self._heard[num_heard:]
            yield SoundFrame(heard, played, num_played)

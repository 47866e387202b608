"""Voices of a video, each at its place with silence around it and between turns, and their sum.

Axis legend: C channels, n samples.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from ....errors import InvalidInputError
from ..channel_mix import mix_matrix, positions_of
from ..decoding.reader import AudioReader
from ..info import AudioInfo
from ..marks import measured_blocks
from ..resampling import StreamResampler
from ..source import BLOCK_SAMPLES, Block
from .periods import LONG_SILENCE_S, VoicePeriod
from .turns import Turns

_STEREO = ("FL", "FR")


@dataclass(frozen=True)
class PlacedAudio:
    """Audio that begins later in the video and is heard in turns; an :class:`AudioSource`."""

    audio: AudioInfo
    """The part that was measured."""
    offset_samples: int
    """Of silence before it."""
    num_samples: int
    """In all; silence fills what the part leaves."""
    turns: Turns = ()

    @property
    def name(self) -> str:
        """What it is called."""
        return str(getattr(self.audio.source, "name", self.audio.source))

    @property
    def rate_hz(self) -> int:
        """Samples a second."""
        return self.audio.rate_hz

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.audio.channels

    @property
    def layout(self) -> str:
        """FFmpeg's name of the channel layout; empty where there is none."""
        return self.audio.layout

    @property
    def period(self) -> VoicePeriod:
        """When there is audio."""
        stop = self.offset_samples + (self.audio.num_samples or 0)
        return VoicePeriod(self.offset_samples / self.rate_hz, stop / self.rate_hz, self.turns)

    @property
    def identity(self) -> str | None:
        """Text that identifies it; ``None`` if nothing identifies the audio."""
        known = self.audio.identity
        place = f"{self.offset_samples} {self.num_samples} {self.turns!r}"
        return None if known is None else f"placed {place} {known}"

    def has_sample(self, index: int) -> bool:
        """Return whether there is a sample ``index``."""
        return index < self.num_samples

    def blocks(self) -> Generator[Block]:
        """Yield all samples, ``(C, n)``."""
        position = 0
        for block in self._whole():
            part = block[:, : self.num_samples - position]
            yield self._in_turns(part, position)
            position += part.shape[1]

    def info(self) -> AudioInfo:
        """Return what is known of it; its level is that of the audio."""
        return replace(
            self.audio,
            source=self,
            start_sample=0,
            num_samples=self.num_samples,
            limit_samples=None,
            missing_s=0.0,
            problems=(),
            marks=(),
        )

    def __str__(self) -> str:
        return str(self.audio.source)

    def _whole(self) -> Iterator[Block]:
        yield from self._silence(self.offset_samples)
        position = self.offset_samples
        with AudioReader(self.audio.source) as reader:
            for block in measured_blocks(reader, self.audio):
                yield block
                position += block.shape[1]
        yield from self._silence(self.num_samples - position)

    def _silence(self, count: int) -> Iterator[Block]:
        for start in range(0, count, BLOCK_SAMPLES):
            yield np.zeros((self.channels, min(BLOCK_SAMPLES, count - start)), np.float32)

    def _in_turns(self, block: Block, first: int) -> Block:
        if not self.turns:
            return block
        heard = np.zeros_like(block)
        for begin_s, end_s in self.turns:
            ends = (round(each * self.rate_hz) - first for each in (begin_s, end_s))
            begin, end = (min(max(0, each), block.shape[1]) for each in ends)
            heard[:, begin:end] = block[:, begin:end]
        return heard


def place_audio(
    audio: Sequence[AudioInfo], offsets_s: Sequence[float], turns: Sequence[Turns]
) -> tuple[PlacedAudio, ...]:
    """Return each speaker's audio in a video that lasts to the end of the last one.

    Args:
        audio: Measured parts.
        offsets_s: When each begins in the video, seconds.
        turns: When each speaker is heard.

    Raises:
        InvalidInputError: If audio has not ended yet.
    """
    offsets, ends = [], []
    for each, offset_s in zip(audio, offsets_s, strict=True):
        if each.num_samples is None:
            raise InvalidInputError(
                f"audio {each.source}: it has not ended; two speakers need audio that has, live "
                "audio has one"
            )
        offsets.append(round(offset_s * each.rate_hz))
        ends.append(Fraction(offsets[-1] + each.num_samples, each.rate_hz))
    return tuple(
        PlacedAudio(each, offset, math.ceil(max(ends) * each.rate_hz), heard)
        for each, offset, heard in zip(audio, offsets, turns, strict=True)
    )


def without_silence(voices: Sequence[PlacedAudio]) -> tuple[PlacedAudio, ...]:
    """Return voices that are moved together where nobody speaks for long.

    What is measured of their sum is the same, and hours of silence take no time. They are moved
    by whole seconds, so that samples meet as before.
    """
    end_s, cut_s, moved = 0.0, 0, {}
    for voice in sorted(voices, key=lambda each: each.period.begin_s):
        cut_s += max(0, math.floor(voice.period.begin_s - end_s - LONG_SILENCE_S))
        end_s = max(end_s, voice.period.end_s)
        moved[id(voice)] = cut_s
    return tuple(
        replace(
            each,
            offset_samples=each.offset_samples - moved[id(each)] * each.rate_hz,
            num_samples=each.num_samples - cut_s * each.rate_hz,
            turns=tuple(
                (begin - moved[id(each)], end - moved[id(each)]) for begin, end in each.turns
            ),
        )
        for each in voices
    )


def is_same_source(one: AudioInfo, other: AudioInfo) -> bool:
    """Whether two parts are the same part of the same audio."""
    parts = ((each.start_sample, each.num_samples) for each in (one, other))
    if len(set(parts)) > 1:
        return False
    if isinstance(one.source, Path) and isinstance(other.source, Path):
        return one.source.resolve() == other.source.resolve()
    return one.source == other.source


@dataclass(frozen=True)
class MixedAudio:
    """Sum of several speakers' audio, at the highest of their rates; an :class:`AudioSource`.

    Nothing is scaled down: voices that speak at the same time may add up to more than full scale.
    """

    voices: tuple[PlacedAudio, ...]

    @property
    def name(self) -> str:
        """What it is called."""
        return " and ".join(each.name for each in self.voices)

    @property
    def rate_hz(self) -> int:
        """Samples a second."""
        return max(each.rate_hz for each in self.voices)

    @property
    def channels(self) -> int:
        """Those of all, where they are equal; else 2."""
        return self.voices[0].channels if self._are_alike else len(_STEREO)

    @property
    def layout(self) -> str:
        """Of the channels."""
        return self.voices[0].layout if self._are_alike else "stereo"

    @property
    def num_samples(self) -> int:
        """Samples of each channel."""
        return next(each.num_samples for each in self.voices if each.rate_hz == self.rate_hz)

    @property
    def identity(self) -> str | None:
        """Text that identifies it; ``None`` if nothing identifies one of them."""
        known = [each.identity for each in self.voices]
        return None if None in known else f"mix {known}"

    def has_sample(self, index: int) -> bool:
        """Return whether there is a sample ``index``."""
        return index < self.num_samples

    def blocks(self) -> Iterator[Block]:
        """Yield all samples, ``(C, n)``."""
        streams = [self._converted(each) for each in self.voices]
        waiting = [np.zeros((self.channels, 0), np.float32) for _ in streams]
        left = self.num_samples
        try:
            while left:
                waiting = [
                    self._filled(block, stream)
                    for block, stream in zip(waiting, streams, strict=True)
                ]
                count = min(left, *(block.shape[1] for block in waiting))
                yield np.sum([block[:, :count] for block in waiting], axis=0, dtype=np.float32)
                waiting = [block[:, count:] for block in waiting]
                left -= count
        finally:
            for stream in streams:
                stream.close()

    def __str__(self) -> str:
        return " and ".join(map(str, self.voices))

    @property
    def _are_alike(self) -> bool:
        return len({(each.layout, each.channels) for each in self.voices}) == 1

    def _filled(self, block: Block, stream: Iterator[Block]) -> Block:
        """Return samples that wait, or the next ones; silence after the last, a rounding away."""
        while not block.shape[1]:
            found = next(stream, None)
            if found is None:
                return np.zeros((self.channels, self.rate_hz), np.float32)
            block = found
        return block

    def _converted(self, voice: PlacedAudio) -> Generator[Block]:
        rate = StreamResampler(voice.rate_hz, self.rate_hz, self.channels)
        weights = None
        if not self._are_alike:
            weights = mix_matrix(positions_of(voice.layout, voice.channels), _STEREO)
        with closing(voice.blocks()) as blocks:
            for block in blocks:
                yield rate.process(block if weights is None else weights @ block)
        yield rate.finish()

"""Where audio comes from: files, arrays, and sources whose length is known at their end only.

Axis legend: C channels, n samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import require
from ...excerpt import excerpt

Block = NDArray[np.float32]
"""Samples, ``(C, n)``, full scale at 1."""

BLOCK_SAMPLES = 1 << 15
"""Least size of a block, but for the last one of an audio source."""
MIN_RATE_HZ = 1_000
MAX_RATE_HZ = 768_000
MAX_CHANNELS = 8
MAX_TIME_S = 360_000
"""Latest start and longest duration that can be asked for: 100 hours."""
MIN_DURATION_S = 0.001
"""Shortest duration that can be asked for."""


class AudioSource(Protocol):
    """Audio that is no file: an array, or a source that still grows. ``str`` of it is its name.

    A read of samples that have not arrived waits for them: analysis waits for the look-ahead of
    its window as well, so that a chunk gets the same as from the finished audio. A session that
    must not wait that long takes a :class:`ChunkConfig` with less look-ahead.
    """

    @property
    def name(self) -> str:
        """What warnings and errors call it."""
        ...

    @property
    def rate_hz(self) -> int:
        """Samples a second."""
        ...

    @property
    def channels(self) -> int:
        """Number of channels."""
        ...

    @property
    def layout(self) -> str:
        """FFmpeg's name of the channel layout; empty where there is none."""
        ...

    @property
    def num_samples(self) -> int | None:
        """Samples of the whole audio; ``None`` until its end is known."""
        ...

    @property
    def identity(self) -> str | None:
        """Text that distinguishes this audio from all other audio; ``None`` where there is none."""
        ...

    def has_sample(self, index: int) -> bool:
        """Wait until it is known whether the audio has a sample ``index``, and return it."""
        ...

    def blocks(self) -> Iterator[Block]:
        """Yield all samples, ``(C, n)`` float32, full scale at 1; each call from the first on.

        With one channel, blocks of any size give the same analysis signal. A downmix of several
        may round differently in blocks of another size than :data:`BLOCK_SAMPLES`.
        """
        ...


@dataclass(frozen=True, eq=False, repr=False)
class AudioArray:
    """Whole audio; two are equal if their rate and samples are, whatever their names."""

    name: str
    """What warnings and errors call it."""
    samples: Block
    """``(C, n)`` float32, full scale at 1; not to be changed afterwards."""
    rate_hz: int

    def __post_init__(self) -> None:
        assert self.samples.ndim == 2, self.samples.shape
        assert self.samples.dtype == np.float32, self.samples.dtype
        check_rate(self, self.rate_hz)
        channels, num_samples = self.samples.shape
        require(
            1 <= channels <= MAX_CHANNELS,
            f"audio {self}: {channels} channels; need 1 to {MAX_CHANNELS}, mix it down first",
        )
        require(num_samples > 0, f"audio {self}: it holds 0 samples; record or export it again")

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.samples)

    @property
    def layout(self) -> str:
        """Nothing: channels of an array have no names."""
        return ""

    @property
    def num_samples(self) -> int:
        """Samples of each channel."""
        return self.samples.shape[1]

    @property
    def identity(self) -> str:
        """Text that is the same for equal samples at an equal rate."""
        return f"array {self.digest}"

    def has_sample(self, index: int) -> bool:
        """Return whether there is a sample ``index``."""
        return index < self.num_samples

    def blocks(self) -> Iterator[Block]:
        """Yield all samples, ``(C, n)``."""
        for start in range(0, self.num_samples, BLOCK_SAMPLES):
            yield self.samples[:, start : start + BLOCK_SAMPLES]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of rate, shape and samples, in hexadecimal."""
        channels, num_samples = self.samples.shape
        state = hashlib.sha256(f"{self.rate_hz} {channels} {num_samples} ".encode())
        for channel in self.samples:
            state.update(np.ascontiguousarray(channel, "<f4").data)
        return state.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AudioArray) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        channels, num_samples = self.samples.shape
        return f"AudioArray({excerpt(self.name)!r}, {channels} x {num_samples}, {self.rate_hz} Hz)"

    def __str__(self) -> str:
        return self.name


AudioInput = Path | AudioSource
"""Where audio comes from; ``str`` of it is what the user knows it by."""


class BlockReader(Protocol):
    """One pass over an audio source."""

    source: AudioInput
    rate_hz: int
    channels: int
    layout: str
    """FFmpeg's name of the channel layout; empty where there is none."""

    def blocks(self, start_sample: int = 0, num_samples: int | None = None) -> Iterator[Block]:
        """Yield the samples from ``start_sample`` on, at most ``num_samples`` (``None``: all)."""
        ...


class SampleReader(Protocol):
    """Mono audio at the analysis rate and loudness."""

    def read(self, start_sample: int, stop_sample: int) -> NDArray[np.float32]:
        """Return ``[start, stop)``, zeros outside the audio; windows move forward.

        Of two speakers ``(2, n)``.
        """
        ...


def check_rate(source: AudioInput, rate_hz: int) -> None:
    """Raise :class:`InvalidInputError` unless audio of this rate can be read."""
    require(
        MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ,
        f"audio {source}: {rate_hz} samples a second; need {MIN_RATE_HZ} to {MAX_RATE_HZ}, "
        "convert it to 48000",
    )

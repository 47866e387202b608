"""What the first pass over a sound measures.

Axis legend: C channels, n samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...errors import InvalidInputError, require
from .hearing import ANALYSIS_RATE_HZ, Ear, Hearing, HearingTest
from .loudness import LoudnessMeter
from .marks import AudioMarks
from .source import Block, BlockReader

MAX_PEAK = 1e10
"""Peaks above this, whose squares overflow later, are refused."""


class Level:
    """Loudness and peak of what is heard."""

    def __init__(self) -> None:
        self.meter = LoudnessMeter(ANALYSIS_RATE_HZ)
        self.peak = 0.0

    def update(self, mono: NDArray[np.float32]) -> None:
        """Take the next samples, ``(n,)``, at the analysis rate."""
        if len(mono):
            self.peak = max(self.peak, float(np.abs(mono).max()))
            self.meter.update(mono)


class FirstPass:
    """Running figures of the first pass over a sound."""

    def __init__(self, reader: BlockReader, start: int) -> None:
        self.level = Level()
        """Of the usual downmix."""
        self.marks = AudioMarks()
        self.num_samples = 0
        self.peak = 0.0
        """Largest absolute sample of any channel."""
        self.hearing = Hearing.plain(reader.layout, reader.channels)
        """What is to be heard, once the pass is over."""
        self.rate_hz = reader.rate_hz
        self._reader = reader
        self._start = start
        self._test = HearingTest(reader.layout, reader.channels, reader.rate_hz)
        self._ear = Ear(self.hearing, reader.rate_hz, ANALYSIS_RATE_HZ)

    def update(self, block: Block) -> None:
        """Take the next samples, ``(C, n)``.

        Raises:
            InvalidInputError: If one is not a number, or beyond any scale.
        """
        if not np.isfinite(block).all():
            first = int(np.flatnonzero(~np.isfinite(block).all(axis=0))[0])
            at_s = (self._start + self.num_samples + first) / self._reader.rate_hz
            raise InvalidInputError(
                f"sound {self._reader.source}: a sample at {at_s:.3f} s is NaN or infinite, need "
                "finite numbers; export it again as 16-bit WAV"
            )
        self.num_samples += block.shape[1]
        self.marks.update(block)
        self.peak = max(self.peak, float(np.abs(block).max()))
        require(
            self.peak <= MAX_PEAK,
            f"sound {self._reader.source}: a sample is {self.peak:.3g} times full scale, the limit "
            f"is {MAX_PEAK:.0e}; export it again as 16-bit WAV",
        )
        self._test.update(block)
        self.level.update(self._ear.process(block))

    def finish(self) -> None:
        """Decide what is to be heard."""
        self.level.update(self._ear.finish())
        self.hearing = self._test.result()

"""What the first pass over an audio source measures.

Axis legend: C channels, n samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...errors import InvalidInputError, require
from .analysis_mix import ANALYSIS_RATE_HZ, AnalysisMix, AnalysisMixer, MixSelector
from .loudness import LoudnessMeter
from .marks import AudioMarks
from .source import Block, BlockReader

MAX_PEAK = 1e10
"""Peaks above this, whose squares overflow later, are refused."""


class Level:
    """Loudness and peak of an analysis signal."""

    def __init__(self) -> None:
        self.meter = LoudnessMeter(ANALYSIS_RATE_HZ)
        self.peak = 0.0

    def update(self, mono: NDArray[np.float32]) -> None:
        """Take the next samples, ``(n,)``, at the analysis rate."""
        if len(mono):
            self.peak = max(self.peak, float(np.abs(mono).max()))
            self.meter.update(mono)


class FirstPass:
    """Running figures of the first pass over an audio source."""

    def __init__(self, reader: BlockReader, start: int) -> None:
        self.level = Level()
        """Of the usual downmix."""
        self.marks = AudioMarks()
        self.num_samples = 0
        self.peak = 0.0
        """Largest absolute sample of any channel."""
        self.analysis_mix = AnalysisMix.downmix(reader.layout, reader.channels)
        """The mix to analyse, once the pass is over."""
        self.rate_hz = reader.rate_hz
        self._reader = reader
        self._start = start
        self._selector = MixSelector(reader.layout, reader.channels, reader.rate_hz)
        self._mixer = AnalysisMixer(self.analysis_mix, reader.rate_hz, ANALYSIS_RATE_HZ)

    def update(self, block: Block) -> None:
        """Take the next samples, ``(C, n)``.

        Raises:
            InvalidInputError: If one is not a number, or beyond any scale.
        """
        if not np.isfinite(block).all():
            first = int(np.flatnonzero(~np.isfinite(block).all(axis=0))[0])
            at_s = (self._start + self.num_samples + first) / self._reader.rate_hz
            raise InvalidInputError(
                f"audio {self._reader.source}: a sample at {at_s:.3f} s is NaN or infinite, need "
                "finite numbers; export it again as 16-bit WAV"
            )
        self.num_samples += block.shape[1]
        self.marks.update(block)
        self.peak = max(self.peak, float(np.abs(block).max()))
        require(
            self.peak <= MAX_PEAK,
            f"audio {self._reader.source}: a sample is {self.peak:.3g} times full scale, the limit "
            f"is {MAX_PEAK:.0e}; export it again as 16-bit WAV",
        )
        self._selector.update(block)
        self.level.update(self._mixer.process(block))

    def finish(self) -> None:
        """Decide which mix is to be analysed."""
        self.level.update(self._mixer.finish())
        self.analysis_mix = self._selector.result()

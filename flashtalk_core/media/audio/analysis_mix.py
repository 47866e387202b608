"""The analysis signal of an audio source: one channel at the analysis rate, of speech alone.

Axis legend: C channels, n samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .channel_mix import is_unnamed, mono_weights, positions_of
from .filters.low_cut import HighMeter, LowCut
from .resampling import StreamResampler
from .source import Block

ANALYSIS_RATE_HZ = 16_000
"""Rate of the audio encoder's input."""
_WINDOW_SAMPLES = 6_400
_LEAST_SAMPLES = 1_600
"""A tenth of a second: of less, nothing is known about low frequencies."""
_CANCELLED = 0.25
"""Share of the power of the channels that is left where they cancel each other: -6 dB.

Different signals add up to 1, equal ones to more. Noise of codecs, and channels that are not quite
equal, leave more than nothing."""
_LEAST_CANCELLED = 0.2
"""Share of the audio with cancellation from which on a single channel is analysed."""
_LOW_SHARE = 0.05
"""Power of offset or rumble, as a share of the rest, from which on it is removed.

Below it nothing changes, so that clean speech is analysed as in training of the authors' model."""
_ABOUT_AS_LOUD = 0.5
"""Of two channels within 3 dB the first is analysed: the other is the inverted one."""
_NO_POWER = 1e-10


@dataclass(frozen=True)
class AnalysisMix:
    """How the analysis signal is mixed from all channels."""

    weights: tuple[float, ...]
    """Weight of each channel."""
    lone_channel: int | None = None
    """The only channel that is analysed, because all together cancel each other out."""
    offset: float = 0.0
    """Mean that is subtracted from the mixed signal, as a step at its ends would be audible."""
    cuts_lows: bool = False
    """Whether rumble is filtered out as well."""

    @classmethod
    def downmix(cls, layout: str, channels: int) -> AnalysisMix:
        """Return the usual downmix."""
        return cls(tuple(map(float, mono_weights(positions_of(layout, channels)))))

    def alone(self, channel: int) -> AnalysisMix:
        """Return the mix of a single channel."""
        weights = tuple(float(number == channel) for number in range(len(self.weights)))
        return AnalysisMix(weights, channel)


class AnalysisMixer:
    """Mixes, resamples and filters blocks to the analysis signal; block borders leave no trace."""

    def __init__(self, mix: AnalysisMix, in_rate_hz: int, out_rate_hz: int) -> None:
        self._weights = np.asarray(mix.weights, np.float32)[None]
        self._offset = np.float32(mix.offset)
        self._stream = StreamResampler(in_rate_hz, out_rate_hz, 1)
        self._cut = LowCut(out_rate_hz) if mix.cuts_lows else None

    def process(self, block: Block) -> NDArray[np.float32]:
        """Feed ``(C, n)`` and return what is ready, ``(m,)``."""
        mixed = self._weights @ block
        return self._cut_lows(self._stream.process(mixed - self._offset if self._offset else mixed))

    def finish(self) -> NDArray[np.float32]:
        """Return the rest, ``(m,)``."""
        rest = self._cut_lows(self._stream.finish())
        return rest if self._cut is None else np.concatenate([rest, self._cut.finish()])

    def _cut_lows(self, mono: Block) -> NDArray[np.float32]:
        return mono[0] if self._cut is None else self._cut.process(mono[0])


class MixSelector:
    """Decides in the first pass whether the usual downmix is to be analysed.

    Rows of its sums are the channels, and last the downmix.
    """

    def __init__(self, layout: str, channels: int, rate_hz: int) -> None:
        self._downmix = AnalysisMix.downmix(layout, channels)
        weights = np.asarray(self._downmix.weights, np.float32)
        self._rows = np.concatenate([np.eye(channels, dtype=np.float32), weights[None]])
        self._may_be_alone = np.ones(channels) if is_unnamed(layout) else weights > 0
        self._expected_weights = np.square(weights, dtype=np.float64)
        self._stream = StreamResampler(rate_hz, ANALYSIS_RATE_HZ, channels)
        self._cut = HighMeter(ANALYSIS_RATE_HZ, channels + 1)
        self._first: NDArray[np.float64] | None = None
        self._rest = np.zeros((channels + 1, 0))
        self._num_samples = 0
        self._sums, self._powers, self._highs = np.zeros((3, channels + 1))
        self._expected = self._cancelled = 0.0

    def update(self, block: Block) -> None:
        """Take the next samples, ``(C, n)``."""
        self._measure(self._stream.process(block))

    def result(self) -> AnalysisMix:
        """Return the mix to analyse; nothing follows."""
        self._measure(self._stream.finish())
        self._judge(self._rest)
        nothing = _NO_POWER * self._num_samples
        alone = self._highs[:-1] * self._may_be_alone
        loudest = int((alone > _ABOUT_AS_LOUD * alone.max()).argmax())
        cancels = self._cancelled > _LEAST_CANCELLED * self._expected
        is_lost = self._expected <= nothing
        if alone[loudest] > nothing and (cancels or is_lost):
            return self._without_lows(self._downmix.alone(loudest), loudest)
        return self._without_lows(self._downmix, -1)

    def _without_lows(self, mix: AnalysisMix, row: int) -> AnalysisMix:
        if self._num_samples < _LEAST_SAMPLES:
            return mix
        high = self._highs[row] / self._num_samples
        mean = float(self._sums[row]) / self._num_samples
        rumble = self._powers[row] / self._num_samples - mean**2 - high
        allowed = max(_LOW_SHARE * high, _NO_POWER)
        return replace(
            mix, offset=mean if mean**2 > allowed else 0.0, cuts_lows=bool(rumble > allowed)
        )

    def _measure(self, block: Block) -> None:
        if not block.shape[1]:
            return
        samples = np.asarray(self._rows @ block, np.float64)
        if self._first is None:  # or the filter would ring from a step at the start
            self._first = samples.mean(axis=1, keepdims=True)
        self._num_samples += block.shape[1]
        self._sums += samples.sum(axis=1)
        self._powers += np.square(samples).sum(axis=1)
        high = np.concatenate([self._rest, self._cut.process(samples - self._first)], axis=1)
        num_whole = high.shape[1] - high.shape[1] % _WINDOW_SAMPLES
        for start in range(0, num_whole, _WINDOW_SAMPLES):
            self._judge(high[:, start : start + _WINDOW_SAMPLES])
        self._rest = high[:, num_whole:].copy()

    def _judge(self, window: NDArray[np.float64]) -> None:
        powers = np.square(window).sum(axis=1)
        self._highs += powers
        expected = float(self._expected_weights @ powers[:-1])
        self._expected += expected
        self._cancelled += expected if powers[-1] < _CANCELLED * expected else 0.0

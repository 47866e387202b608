"""Removal of what lies below a voice: rumble, and the hum of mains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .sections import SectionFilter, butterworth_high_pass

_CORNER_HZ = 65.0
"""Half is left here, all above 82 Hz, where the deepest voices begin, nothing below 48 Hz."""
_REACH_S = 0.05
_METER_CORNER_HZ = 75.0
_METER_ORDER = 6


class LowCut:
    """High-pass of linear phase over one signal that arrives in blocks: it keeps its shape.

    Its delay is compensated, so the last samples come with :meth:`finish`. Before its start and
    behind its end the signal goes on as its mirror image, turned about its outermost sample:
    neither is a step.
    """

    def __init__(self, rate_hz: int) -> None:
        from scipy.signal import firwin

        self._reach = round(_REACH_S * rate_hz)
        self._low = firwin(2 * self._reach + 1, _CORNER_HZ, fs=rate_hz)
        self._known = np.zeros(0, np.float32)
        self._has_start = False

    def process(self, mono: NDArray[np.float32]) -> NDArray[np.float32]:
        """Feed ``(n,)`` and return what is ready, ``(m,)``."""
        self._known = np.concatenate([self._known, mono])
        if not self._has_start and len(self._known) > self._reach:
            self._has_start = True
            self._known = np.concatenate([_mirror(self._known[self._reach :: -1]), self._known])
        return self._ready() if self._has_start else np.zeros(0, np.float32)

    def finish(self) -> NDArray[np.float32]:
        """Return the rest, ``(m,)``; nothing is left of what is shorter than a twentieth second."""
        if not self._has_start:
            return np.zeros(len(self._known), np.float32)
        end = _mirror(self._known[-self._reach - 1 :])[::-1]
        self._known = np.concatenate([self._known, end])
        return self._ready()

    def _ready(self) -> NDArray[np.float32]:
        from scipy.signal import oaconvolve

        known, reach = self._known, self._reach
        num_ready = max(0, len(known) - 2 * reach)
        if not num_ready:
            return np.zeros(0, np.float32)
        self._known = known[num_ready:]
        low = oaconvolve(known, self._low, mode="valid")
        return (known[reach : reach + num_ready] - low).astype(np.float32)


def _mirror(edge: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what lies beyond the last sample of ``edge``, farthest first."""
    return 2 * edge[-1] - edge[:-1]


class HighMeter:
    """Butterworth high-pass over ``(C, n)`` in blocks, cheap, for powers only."""

    def __init__(self, rate_hz: int, channels: int) -> None:
        sections = butterworth_high_pass(rate_hz, _METER_CORNER_HZ, _METER_ORDER)
        self._filter = SectionFilter(sections, channels)

    def process(self, block: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the next samples, ``(C, n)``, without what is low."""
        return self._filter.process(block)

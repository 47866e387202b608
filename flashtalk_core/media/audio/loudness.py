"""Integrated loudness by ITU-R BS.1770 of a signal that arrives in blocks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .filters.sections import SectionFilter, high_pass

TARGET_LUFS = -23.0
"""Loudness of the analysed audio. Source: SoulX-FlashTalk ``loudness_norm`` @ 688982e."""

_BLOCK_S = 0.4
_STEP = 0.25
_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0
_MEASURABLE_LUFS = 100.0


class LoudnessMeter:
    """Streaming loudness meter for one channel.

    Gives what pyloudnorm gives for the whole signal, whatever the sizes of the blocks fed in.
    It keeps the weighted energy of each 100 ms, one float64: ten hours are 2.9 MB.
    """

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self.num_samples = 0
        self._filter = SectionFilter(_k_weighting(rate_hz), 1)
        self._energies = np.zeros(64)
        self._num_energies = 0
        self._next_edge = self._edge(1)

    def update(self, block: NDArray[np.floating]) -> None:
        """Measure the next samples, ``(n,)`` of any float dtype."""
        if not len(block):
            return
        power = np.square(self._filter.process(block[None])[0])
        while len(power):
            room = self._next_edge - self.num_samples
            self._add(float(power[:room].sum()))
            self.num_samples += min(room, len(power))
            power = power[room:]
            if self.num_samples == self._next_edge:
                self._num_energies += 1
                self._next_edge = self._edge(self._num_energies + 1)

    def integrated_lufs(self) -> float | None:
        """Return the gated loudness so far; ``None`` if too short or too quiet to measure."""
        if self.num_samples < _BLOCK_S * self.rate_hz:
            return None
        powers = self._block_powers()
        above_noise = _lufs(powers) >= _ABSOLUTE_GATE_LUFS
        if not above_noise.any():
            return None
        relative_gate = _lufs(powers[above_noise].mean()) + _RELATIVE_GATE_LU
        counted = (_lufs(powers) > relative_gate) & (_lufs(powers) > _ABSOLUTE_GATE_LUFS)
        if not counted.any():
            return None
        loudness = float(_lufs(powers[counted].mean()))
        return loudness if abs(loudness) <= _MEASURABLE_LUFS else None

    def _edge(self, index: int) -> int:
        # Truncation and order of the products as in pyloudnorm: they decide single samples.
        return int(_BLOCK_S * (index * _STEP) * self.rate_hz)

    def _add(self, energy: float) -> None:
        if self._num_energies == len(self._energies):
            self._energies = np.concatenate([self._energies, np.zeros_like(self._energies)])
        self._energies[self._num_energies] += energy

    def _block_powers(self) -> NDArray[np.float64]:
        duration_s = self.num_samples / self.rate_hz
        num_blocks = int(np.round((duration_s - _BLOCK_S) / (_BLOCK_S * _STEP)) + 1)
        steps = np.zeros(num_blocks + 3)
        known = self._energies[: self._num_energies + 1][: len(steps)]
        steps[: len(known)] = known
        blocks = np.lib.stride_tricks.sliding_window_view(steps, 4).sum(axis=1)
        return np.asarray(blocks / (_BLOCK_S * self.rate_hz), np.float64)


def loudness_gain(loudness_lufs: float | None, target_lufs: float = TARGET_LUFS) -> float:
    """Return the factor that brings ``loudness_lufs`` to the target; 1 if it is ``None``."""
    if loudness_lufs is None:
        return 1.0
    return float(10.0 ** ((target_lufs - loudness_lufs) / 20.0))


def _lufs(power: NDArray[np.float64] | np.floating) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.asarray(-0.691 + 10.0 * np.log10(power), np.float64)


def _k_weighting(rate_hz: int) -> NDArray[np.float64]:
    """Return the head shelf and the low cut as second-order sections, ``(2, 6)``.

    Source: pyloudnorm 0.2.0 ``K-weighting``: the cookbook's shelf (+4 dB, 1500 Hz, Q 1/sqrt 2)
    and high-pass (38 Hz, Q 0.5), which differ slightly from the standard's own tables.
    """
    return np.stack([_high_shelf(rate_hz, 4.0, 1500.0), high_pass(rate_hz, 38.0, 0.5)])


def _high_shelf(rate_hz: int, gain_db: float, corner_hz: float) -> NDArray[np.float64]:
    amplitude = 10 ** (gain_db / 40.0)
    omega = 2.0 * math.pi * (corner_hz / rate_hz)
    cosine = math.cos(omega)
    slope = 2 * math.sqrt(amplitude) * (math.sin(omega) / math.sqrt(2.0))
    up, down = amplitude + 1, amplitude - 1
    numerator = np.array([up + down * cosine + slope, -2 * (down + up * cosine), 0.0])
    numerator[2] = up + down * cosine - slope
    denominator = [up - down * cosine + slope, 2 * (down - up * cosine), up - down * cosine - slope]
    return np.concatenate([amplitude * numerator, denominator]) / denominator[0]

"""Recursive filters over signals that arrive in blocks, as products of small matrices.

NumPy alone: importing ``scipy.signal`` for the two filters that every render needs takes as long as
all other imports of a render but PyTorch.

Axis legend: C channels, n samples, m frames, L samples of a frame, S sections, K states (2 S).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_FRAME = 64
"""Longer frames are larger products, shorter ones more steps from frame to frame."""


class SectionFilter:
    """A cascade of second-order sections over ``(C, n)``; block borders leave no trace."""

    def __init__(self, sections: NDArray[np.float64], channels: int) -> None:
        """Start with nothing before the signal.

        Args:
            sections: ``(S, 6)``: numerator and denominator of each, the latter's first being 1.
            channels: C.
        """
        num_states = 2 * len(sections)
        # One run tells everything about a linear filter: its answer to an impulse and to each
        # of its states.
        starts = np.zeros((num_states + 1, num_states))
        starts[1:] = np.eye(num_states)
        impulse = np.zeros((num_states + 1, _FRAME))
        impulse[0, 0] = 1.0
        answers, states = _run(sections, impulse, starts)
        lags = np.arange(_FRAME)[None] - np.arange(_FRAME)[:, None]
        self._from_samples = np.where(lags >= 0, answers[0][lags], 0.0)
        """``(L, L)``, from samples of a frame to what is returned."""
        self._from_states = np.ascontiguousarray(answers[1:])
        """``(K, L)``, from the states before a frame to what is returned."""
        self._states_after = states[:, 1:]
        """``(L, K, K)``, from states before to those after each sample of a frame."""
        self._states_of_samples = np.ascontiguousarray(states[::-1, 0])
        """``(L, K)``, from samples of a frame to the states after it."""
        self._state = np.zeros((channels, num_states))

    def process(self, block: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the next samples, ``(C, n)``, as many as are given."""
        samples = np.asarray(block, np.float64)
        num_whole = samples.shape[1] - samples.shape[1] % _FRAME
        whole, rest = samples[:, :num_whole], samples[:, num_whole:]
        parts = [whole.reshape(len(samples), -1, _FRAME), rest[:, None]]
        filtered = [self._frames(part) for part in parts if part.size]
        return np.concatenate(filtered, axis=1) if filtered else samples

    def _frames(self, frames: NDArray[np.float64]) -> NDArray[np.float64]:
        """Filter ``(C, m, L)``; one frame may be shorter."""
        channels, count, length = frames.shape
        after = self._states_after[length - 1]
        added = frames @ self._states_of_samples[_FRAME - length :]
        before = _running(np.concatenate([self._state[:, None], added[:, :-1]], axis=1), after)
        self._state = before[:, -1] @ after + added[:, -1]
        filtered = frames @ self._from_samples[:length, :length]
        filtered += before @ self._from_states[:, :length]
        return np.asarray(filtered.reshape(channels, count * length))


def _running(values: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add to each of ``(C, m, K)`` what came before it, times ``after`` for each step between."""
    step = 1
    while step < values.shape[1]:  # twice as far in each turn
        values[:, step:] += values[:, :-step] @ after
        step, after = 2 * step, after @ after
    return values


def _run(
    sections: NDArray[np.float64], signals: NDArray[np.float64], starts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Filter sample by sample (transposed direct form II).

    Args:
        sections: ``(S, 6)``.
        signals: ``(C, n)``.
        starts: States before, ``(C, K)``.

    Returns:
        ``(C, n)``, and the states after each sample, ``(n, C, K)``.
    """
    state = starts.copy()
    filtered, states = np.empty_like(signals), np.empty((signals.shape[1], *starts.shape))
    for index in range(signals.shape[1]):
        value = signals[:, index]
        for number, (b0, b1, b2, _, a1, a2) in enumerate(sections):
            first, second = state[:, 2 * number], state[:, 2 * number + 1]
            made = b0 * value + first
            state[:, 2 * number] = b1 * value - a1 * made + second
            state[:, 2 * number + 1] = b2 * value - a2 * made
            value = made
        filtered[:, index], states[index] = value, state
    return filtered, states


def high_pass(rate_hz: int, corner_hz: float, q: float) -> NDArray[np.float64]:
    """Return a high-pass of second order, ``(6,)``.

    Source: R. Bristow-Johnson, Cookbook formulae for audio equalizer biquad filter coefficients.
    """
    omega = 2.0 * math.pi * (corner_hz / rate_hz)
    alpha = math.sin(omega) / (2.0 * q)
    cosine = math.cos(omega)
    half = (1 + cosine) / 2
    section = np.array([half, -(1 + cosine), half, 1 + alpha, -2 * cosine, 1 - alpha])
    return section / section[3]


def butterworth_high_pass(rate_hz: int, corner_hz: float, order: int) -> NDArray[np.float64]:
    """Return a Butterworth high-pass of an even order, ``(order / 2, 6)``."""
    assert order % 2 == 0, order
    angles = (math.pi * (2 * pair + 1) / (2 * order) for pair in range(order // 2))
    # The most damped pair first, as it adds least to the range of values between sections.
    qualities = sorted(1 / (2 * math.cos(angle)) for angle in angles)
    return np.stack([high_pass(rate_hz, corner_hz, quality) for quality in qualities])

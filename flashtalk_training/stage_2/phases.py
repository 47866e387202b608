"""Judging a student's step by where it ends, not by the data that it predicts there.

The data that an early step predicts is an average of all that may still come of it. Noised, it is
held to the teacher's data, which is none: an early step is asked for more than it can know. In
phases, a step from one noise level to the next is held to the data noised to that next level s:
what it has reached there is noised further to t, and the critic learns the score of that from the
noise that was added.

With ``a = (1 - t) / (1 - s)`` and ``b^2 = t^2 - a^2 s^2``, ``x_t = a x_s + b e`` has the
distribution of noised data at t if x_s has it at s. Its score given x_s is ``-e / b``, which is the
velocity ``c e - x_s / (1 - s)`` with ``c = (t + (1 - t) s^2 / (1 - s)^2) / b``; at s = 0 that is
noise less data.

Axis legend: B sessions, T latent frames, h w latent cells.

Source: after arXiv 2510.27684 (Phased DMD), without its experts: one network serves all phases.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

_LEAST_NOISE = 1e-2
"""Least b: what is noised by nothing has no score."""


class Phase(NamedTuple):
    """Noising from level s on to levels t, one a session."""

    start: float
    """s, below 1."""
    level: Tensor
    """t, ``(B,)``, at least s."""

    @property
    def kept(self) -> Tensor:
        """Return a, ``(B, 1, 1, 1, 1)``."""
        return (1 - _wide(self.level)) / (1 - self.start)

    @property
    def added(self) -> Tensor:
        """Return b, ``(B, 1, 1, 1, 1)``."""
        square = _wide(self.level).square() - (self.kept * self.start).square()
        return square.clamp(min=_LEAST_NOISE**2).sqrt()

    def noised(self, reached: Tensor, noise: Tensor) -> Tensor:
        """Noise latents ``(B, 16, T, h, w)`` of level s with unit noise to the levels t."""
        return self.kept * reached + self.added * noise

    def codes_share(self) -> Tensor:
        """Return by what movement codes in the noise are multiplied, ``(B, 1)``.

        What was reached still holds s of the noise that the chunk began with; after it t is held.
        """
        share = (_wide(self.level) - self.kept * self.start) / self.added
        return share.flatten(1)

    def target(self, reached: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the critic learns: clean latents, noise, and weights ``(B, 1, 1, 1, 1)``.

        Noise less clean latents is the velocity. Weights make up for the size of its noise, which
        is the larger the less was added.
        """
        odds = self.start / (1 - self.start)
        size = (_wide(self.level) + (1 - _wide(self.level)) * odds**2) / self.added
        return reached / (1 - self.start), size * noise, 1 / size.square()


def _wide(level: Tensor) -> Tensor:
    return level.view(-1, 1, 1, 1, 1)

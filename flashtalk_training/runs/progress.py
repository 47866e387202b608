"""Parts of a training run: a time budget, the learning rate, averages."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


class Clock:
    """Time budget of a run that may be split into parts."""

    def __init__(
        self,
        budget_s: float,
        part_s: float,
        spent_s: float = 0.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start a part.

        Args:
            budget_s: Whole training time, over which the learning rate falls.
            part_s: Longest time of this part.
            spent_s: Time spent in earlier parts.
            now: Clock, in seconds.
        """
        self.budget_s = budget_s
        self._now = now
        self._start = now() - spent_s
        self._part_end = now() + part_s

    def spent_s(self) -> float:
        """Return the training time so far, earlier parts included."""
        return self._now() - self._start

    def progress(self) -> float:
        """Return the share of the budget that is spent, 0 to 1."""
        return min(1.0, self.spent_s() / self.budget_s)

    def is_over(self) -> bool:
        """Return whether the part or the budget has ended."""
        return self._now() >= self._part_end or self.progress() >= 1.0


def learning_rate(peak: float, step: int, warmup_steps: int, progress: float) -> float:
    """Return a linear warm-up by steps, then a cosine fall to 2 % by progress."""
    fall = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))
    return peak * min(1.0, (step + 1) / warmup_steps) * fall


class Average:
    """Exponential moving average of parameters."""

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        """Start from the present values."""
        self._parameters: list[Tensor] = list(parameters)
        self._decay = decay
        self.values = [p.detach().clone() for p in self._parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the present values; faster at the start."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.values, self._parameters, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the average and the present values."""
        for value, parameter in zip(self.values, self._parameters, strict=True):
            held = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(held)

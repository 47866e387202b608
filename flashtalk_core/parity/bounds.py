"""How far a result may be from the recorded one, and how far it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

ErrorKind = Literal["max", "rms", "exact"]
"""``max``: largest absolute error over the expected result's standard deviation. ``rms``: root
mean square error over it. ``exact``: largest absolute error of integers."""

# Source: README of the golden vectors.
_CPU_MAX = 2e-5
_ACCELERATOR_FACTOR = 10.0
_HALF_RMS = 3e-2
_LOOP_FACTOR = 10.0


@dataclass(frozen=True)
class Bound:
    """Largest error that passes, and how it is measured."""

    kind: ErrorKind
    limit: float


EXACT = Bound("exact", 0.0)
"""For integers."""
HOST = Bound("max", _CPU_MAX)
"""For what runs on the CPU in float32 or better whatever device and dtype are asked for."""


@dataclass(frozen=True)
class Placement:
    """Where the modules run; decides their bounds."""

    device: torch.device
    dtype: torch.dtype

    @property
    def is_half(self) -> bool:
        """Whether the weights have 16 bits."""
        return self.dtype in (torch.bfloat16, torch.float16)

    @property
    def module_bound(self) -> Bound:
        """Bound of a result that one module computes."""
        if self.is_half:
            return Bound("rms", _HALF_RMS)
        factor = 1.0 if self.device.type == "cpu" else _ACCELERATOR_FACTOR
        return Bound("max", _CPU_MAX * factor)

    def loop_bound(self, num_modules: int) -> Bound:
        """Return the bound of a result that has passed through ``num_modules`` in a row.

        In half precision the bound of a module times the root of their number: each rounds on
        its own, so that their errors add up like independent ones. In float32 the published
        bound, which does not depend on the number.
        """
        one = self.module_bound
        factor = math.sqrt(num_modules) if self.is_half else _LOOP_FACTOR
        return Bound(one.kind, one.limit * factor)


@dataclass(frozen=True)
class ParityResult:
    """One compared result."""

    component: str
    """Golden file, without suffix."""
    name: str
    """Result within it."""
    error: float
    """Not finite if the shapes differ or the result holds NaN."""
    bound: float
    kind: ErrorKind

    @property
    def passed(self) -> bool:
        """Whether the error is within the bound."""
        return self.error <= self.bound


def compare(
    component: str, name: str, result: Tensor, expected: Tensor, bound: Bound
) -> ParityResult:
    """Measure ``result`` against ``expected``, tensors of one shape on any devices."""
    error = _error(result, expected, bound.kind)
    return ParityResult(component, name, error, bound.limit, bound.kind)


def _error(result: Tensor, expected: Tensor, kind: ErrorKind) -> float:
    if result.shape != expected.shape:
        return math.inf
    expected = expected.detach().cpu().double()
    difference = (result.detach().cpu().double() - expected).abs()
    if kind == "exact":
        return float(difference.max())
    size = difference.max() if kind == "max" else difference.square().mean().sqrt()
    return float(size / expected.std())

"""Layers of an encoder that are not run again on what they have seen in the call before.

Behind a portrait come blank frames, so that group after group of them is the same to the first
layers as soon as the portrait is out of their sight. Results are the same to the bit.

Axis legend: B batch, C channels, F frames at this level, H W pixels at this level.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .cache import CausalCache
from .layers import run_sequence, split_units


@dataclass(frozen=True)
class _Call:
    """What some layers were given in one call, and what they made of it."""

    x: Tensor
    out: Tensor
    has_settled: bool
    """Whether the layers remember the same after it as before: the same input gives the same."""


class RepeatRunner:
    """Runs layers in order unless the call would repeat the one before; a sequence runner.

    For one clip, on one cache. It holds what each layer has returned last.
    """

    def __init__(self) -> None:
        self._last: dict[nn.Module, _Call] = {}
        self.num_skipped = 0
        """Calls of layers that were not run."""

    def __call__(self, layers: Iterable[nn.Module], x: Tensor, cache: CausalCache | None) -> Tensor:
        """Return what :func:`.layers.run_sequence` returns."""
        assert cache is not None, "what has settled is known by what is remembered"
        for unit in split_units(layers):
            x = self._run(unit, x, cache)
        return x

    def _run(self, unit: list[nn.Module], x: Tensor, cache: CausalCache) -> Tensor:
        last = self._last.get(unit[0])
        if last is not None and last.has_settled and torch.equal(last.x, x):
            self.num_skipped += 1
            return last.out
        before = cache.entries()
        out = run_sequence(unit, x, cache)
        after = cache.entries()
        written = [name for name, frames in after.items() if before.get(name) is not frames]
        settled = all(name in before and torch.equal(before[name], after[name]) for name in written)
        self._last[unit[0]] = _Call(x, out, settled)
        return out

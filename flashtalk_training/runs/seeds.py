"""Seeds of a training run: every part has new draws, measures always have the same.

Trainers draw from torch's own generators of numbers, which are seeded in three places: a network's
first weights by the seed of its stage, every part of a run by :func:`part_seed`, and all that is
held out inside :func:`fixed_draws`. Faces have generators of their own with the same seeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

MEASURE_SEED = 1
"""Of the draws in a held-out measure."""
HELD_OUT_SEED = 2**31 + 2
"""Of the held-out clips of Stage 1. Seeds stay below 2**32: a CPU generator drops what is above."""
STATISTICS_SEED = 2**31 + 3
"""Of the clips whose latents are measured."""
_NUM_STAGES = 8


def part_seed(stage_seed: int, step: int) -> int:
    """Return the seed of the part that starts at ``step``, another for every stage and step."""
    return _NUM_STAGES * step + stage_seed


@contextmanager
def fixed_draws(device: torch.device, seed: int) -> Iterator[None]:
    """Draw from ``seed`` inside; draws outside are as if nothing had been drawn."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield

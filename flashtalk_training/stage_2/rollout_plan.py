"""What is drawn for a whole step of Stage 2 and must be the same on every rank."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator

from ..runs.ranks import from_first


class RolloutPlan(NamedTuple):
    """How far a roll-out goes."""

    num_chunks: int
    """K, at least 1; chunk K is the one that is judged."""
    step: int
    """Denoising step of chunk K whose prediction is judged, from 0."""


def draw_plan(max_chunks: int, num_steps: int, generator: Generator) -> RolloutPlan:
    """Draw K of ``1 .. max_chunks`` and a step of ``0 .. num_steps - 1``, both uniform.

    Where ranks train together, all of them get what rank 0 has drawn.

    Args:
        max_chunks: Longest roll-out.
        num_steps: Denoising steps of the student.
        generator: CPU generator.
    """
    drawn = torch.stack(
        [torch.randint(limit, (), generator=generator) for limit in (max_chunks, num_steps)]
    )
    drawn = from_first(drawn)
    return RolloutPlan(int(drawn[0]) + 1, int(drawn[1]))

"""What is drawn for a whole step of Stage 2 and must be the same on every rank."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator


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
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        on_device = drawn.to(_collective_device())
        torch.distributed.broadcast(on_device, src=0)
        drawn = on_device.cpu()
    return RolloutPlan(int(drawn[0]) + 1, int(drawn[1]))


def _collective_device() -> torch.device:
    """Return where the backend wants its tensors."""
    is_nccl = torch.distributed.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if is_nccl else torch.device("cpu")

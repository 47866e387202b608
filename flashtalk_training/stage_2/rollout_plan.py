"""What is drawn for a whole step of Stage 2 and must be the same on every rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator

from flashtalk_core.config.chunk import ChunkConfig

from ..chunk_lengths import chunk_of
from ..runs.ranks import from_first


class RolloutPlan(NamedTuple):
    """How far a roll-out goes."""

    num_chunks: int
    """K, at least 1; chunk K is the one that is judged."""
    step: int
    """Denoising step of chunk K whose prediction is judged, from 0."""
    num_frames: int | None = None
    """Frames of each chunk; ``None`` for as many as the model has."""
    is_live: bool = False
    """Whether nothing is heard after each chunk."""

    def chunk_of(self, chunk: ChunkConfig) -> ChunkConfig:
        """Return the arithmetic of the chunks, where that of the model is ``chunk``."""
        return chunk_of(chunk, self.num_frames, 0 if self.is_live else None)


def draw_plan(
    max_chunks: int,
    num_steps: int,
    generator: Generator,
    lengths: Sequence[int] = (),
    live_share: float = 0.0,
) -> RolloutPlan:
    """Draw K of ``1 .. max_chunks`` and a step of ``0 .. num_steps - 1``, both uniform.

    Where ranks train together, all of them get what rank 0 has drawn.

    Args:
        max_chunks: Longest roll-out.
        num_steps: Denoising steps of the student.
        generator: CPU generator.
        lengths: Frames of a chunk, drawn uniformly; none for the model's own, without a draw.
        live_share: Chance that nothing is heard after a chunk; 0 draws nothing.
    """
    limits = (max_chunks, num_steps, *([len(lengths)] if lengths else []))
    draws = [torch.randint(limit, (), generator=generator) for limit in limits]
    if live_share:
        draws.append((torch.rand((), generator=generator) < live_share).long())
    drawn = from_first(torch.stack(draws)).tolist()
    return RolloutPlan(
        num_chunks=drawn[0] + 1,
        step=drawn[1],
        num_frames=lengths[drawn[2]] if lengths else None,
        is_live=bool(live_share and drawn[-1]),
    )

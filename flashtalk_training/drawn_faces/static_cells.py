"""Where in a drawn image nothing ever moves.

Axis legend: N faces, F moments, H W pixels, h w cells.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional

from .appearance import FaceIdentity
from .faces import render
from .motion import FRAME_RATE_HZ, sample_motion

_MOMENTS = 24
_LIVELY = 2
_SEED = 0
_AT_ONCE = 16
_DEVIATION = 0.01
"""Deviation of a cell's values over time at which its weight is 1/e."""


def static_cells(identity: FaceIdentity, size_px: tuple[int, int], cells: int) -> Tensor:
    """Weigh cells by how little changes in and next to them while a lively head moves.

    Args:
        identity: Faces, fields ``(N,)`` and ``(N, 3)``.
        size_px: Height and width.
        cells: Along either side.

    Returns:
        ``(N, cells, cells)`` float32, 1 where all stays as it is, 0 where much moves.
    """
    count = len(identity.width)
    generator = Generator().manual_seed(_SEED)
    motion = sample_motion(1, _MOMENTS * FRAME_RATE_HZ, generator, _LIVELY)
    motion = motion.frames(slice(0, None, FRAME_RATE_HZ)).to(identity.width.device)
    weights = []
    for first in range(0, count, _AT_ONCE):
        some = identity.pick(slice(first, first + _AT_ONCE))
        moments = motion.pick([0] * len(some.width))
        deviation = render(some, moments, size_px).std(dim=1).amax(dim=1)
        # What is next to a cell reaches into its latents.
        worst = functional.max_pool2d(
            functional.adaptive_max_pool2d(deviation, (cells, cells))[:, None], 3, 1, padding=1
        )[:, 0]
        weights.append((-((worst / _DEVIATION) ** 2)).exp())
    return torch.cat(weights)

"""Timesteps of the denoising loop."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Source: SoulX-FlashTalk ``FlashTalkPipeline.prepare_params`` @ 688982e.
_DISTILLED_TIMESTEPS = {2: (1000.0, 500.0), 4: (1000.0, 750.0, 500.0, 250.0)}


def shift_timesteps(t: Tensor, shift: float) -> Tensor:
    """Warp timesteps towards high noise.

    Args:
        t: Timesteps, any shape, float32 in ``[0, 1]``; 1 is pure noise.
        shift: Schedule shift; ``1.0`` leaves ``t`` unchanged.

    Returns:
        Warped timesteps, same shape, dtype and range.

    Source: SoulX-FlashTalk ``timestep_transform`` @ 688982e (t there is in ``[0, 1000]``).
    """
    return shift * t / (1 + (shift - 1) * t)


def noise_levels(steps: int, shift: float) -> Tensor:
    """Return the noise levels a chunk passes through.

    Args:
        steps: Denoising steps, 1 to 100. 2 and 4 are the distilled schedules.
        shift: Schedule shift.

    Returns:
        ``(steps + 1,)`` float32, falling from 1 to 0.
    """
    raw = _DISTILLED_TIMESTEPS.get(steps)
    if raw is None:
        raw = tuple(np.linspace(1000, 1, steps, dtype=np.float32).tolist())
    return shift_timesteps(torch.tensor([*raw, 0.0]) / 1000, shift)


def model_timesteps(steps: int, shift: float) -> list[float]:
    """Return the timesteps at which the model is called; see :func:`noise_levels`."""
    return [1000 * level for level in noise_levels(steps, shift)[:-1].tolist()]

"""How far the mouths of decoded sessions are from where they should be, with a gradient.

Axis legend: B sessions, F pixel frames, T latent frames, h w latent cells.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..models.vae.model import VideoVAE
from .data.mouth import measure_mouth_opening
from .rollout import decode_clip


def mouth_error(vae: VideoVAE, data: Tensor, openings: Tensor, past: int) -> Tensor:
    """Return the mean squared error of the opening that is measured in the pictures.

    Args:
        vae: Its decoder; on a GPU it runs under autocast in bfloat16.
        data: Clean latents of chunks, ``(B, 16, T, h, w)``.
        openings: True openings, ``(B, F)``.
        past: Leading motion frames, which are left out.

    Returns:
        Scalar.
    """
    kind = data.device.type
    with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda", cache_enabled=False):
        frames = decode_clip(vae, data)
    measured = measure_mouth_opening((frames[:, :, past:].transpose(1, 2) + 1) / 2)
    return (measured - openings[:, past:]).square().mean()

"""How much memory a network needs beside its weights, for a host that has to make room."""

from __future__ import annotations

from torch import nn

from ..geometry import num_latent_frames, token_grid
from ..models.dit import AvatarDiT
from ..models.vae.model import VideoVAE
from .plan import RenderPlan

# Tensors alive at a time, in units of the largest kind each network has. Measured at the full
# size, 768x448, bfloat16, on an H200: a step adds 1.0 GiB, decoding one latent frame at a time
# 3.4 GiB and eight 9.5 GiB; rounded up from 8.7, 10.3 and 3.5.
_STEP_TENSORS = 10
_DECODE_TENSORS = 12
_DECODE_TENSORS_PER_LATENT = 4


def working_bytes(kind: type[nn.Module], plan: RenderPlan) -> int:
    """Estimate what a network of class ``kind`` needs beside its weights, in bytes.

    Encoders run once on little and count as nothing.
    """
    if kind is AvatarDiT:
        return _STEP_TENSORS * _token_bytes(plan)
    if kind is VideoVAE:
        per_call = _DECODE_TENSORS_PER_LATENT * plan.request.num_decode_latents
        return (_DECODE_TENSORS + per_call) * _frame_bytes(plan)
    return 0


def _token_bytes(plan: RenderPlan) -> int:
    """Return the size of one tensor of all tokens."""
    config = plan.checkpoint.config
    height, width = (side // config.vae.spatial_stride for side in plan.request.size_px)
    latents = num_latent_frames(plan.chunk.num_frames)
    frames, rows, columns = token_grid((latents, height, width), config.dit)
    return frames * rows * columns * config.dit.dim * plan.placement.dtype.itemsize


def _frame_bytes(plan: RenderPlan) -> int:
    """Return the size of one tensor of the four frames of a latent at full size."""
    config = plan.checkpoint.config.vae
    height, width = plan.request.size_px
    return 4 * config.dim * height * width * plan.placement.dtype.itemsize

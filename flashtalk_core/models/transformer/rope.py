"""Rotary positions of video tokens and of speakers.

Axis legend: B batch, L tokens, N heads, D head dim, T h w token grid.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROPE_BASE = 10_000.0


def float64_device(device: torch.device) -> torch.device:
    """Return where float64 is computed for ``device``: there, or on the CPU for Apple's GPUs."""
    return torch.device("cpu") if device.type == "mps" else device


def _angles(positions: Tensor, width: int) -> Tensor:
    """Return ``(len(positions), width / 2)`` float64 rotation angles."""
    exponents = torch.arange(0, width, 2, dtype=torch.float64, device=positions.device) / width
    return torch.outer(positions.to(torch.float64), ROPE_BASE**-exponents)


def video_rotation(grid: tuple[int, int, int], head_dim: int, device: torch.device) -> Tensor:
    """Return the 3-D rotary table of a token grid.

    Args:
        grid: Tokens along time, height and width.
        head_dim: D, even. A third of the angles go to height and width each, the rest to time.
        device: Where the table is needed.

    Returns:
        ``(L, D / 2, 2)`` float32 cosines and sines, tokens in (T, h, w) order.

    Source: SoulX-FlashTalk ``rope_params`` and ``rope_apply`` @ 688982e.
    """
    spatial = 2 * (head_dim // 6)
    widths = (head_dim - 2 * spatial, spatial, spatial)
    per_axis = [
        _angles(torch.arange(size, device=float64_device(device)), width)
        for size, width in zip(grid, widths, strict=True)
    ]
    time, height, width_ = (
        angles.view(*(-1 if axis == i else 1 for i in range(3)), angles.shape[1]).expand(*grid, -1)
        for axis, angles in enumerate(per_axis)
    )
    angles = torch.cat([time, height, width_], dim=-1).flatten(0, 2)
    return torch.stack([angles.cos(), angles.sin()], dim=-1).float().to(device)


def position_rotation(positions: Tensor, head_dim: int) -> Tensor:
    """Return the 1-D rotary table ``(L, D / 2, 2)`` float32 of real positions ``(L,)``.

    Source: SoulX-FlashTalk ``RotaryPositionalEmbedding1D`` @ 688982e, in float32 as there.
    """
    exponents = torch.arange(0, head_dim, 2, device=positions.device).float() / head_dim
    angles = torch.outer(positions.float(), ROPE_BASE**-exponents)
    return torch.stack([angles.cos(), angles.sin()], dim=-1)


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Rotate neighbouring pairs of channels.

    Args:
        x: ``(B, L, N, D)``.
        rotation: ``(L, D / 2, 2)`` float32 cosines and sines.

    Returns:
        Rotated ``x``, same shape and dtype; computed in float32.
    """
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        # One pass instead of seven, and the same numbers; a compiler makes one of them anyway.
        pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
        turned = torch.view_as_real(pairs * torch.view_as_complex(rotation)[:, None])
        return turned.flatten(-2).type_as(x)
    real, imaginary = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = rotation[:, None].unbind(-1)
    turned = torch.stack([real * cos - imaginary * sin, real * sin + imaginary * cos], dim=-1)
    return turned.flatten(-2).type_as(x)

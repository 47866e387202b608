"""Pixels as the networks take and return them, and as everything else does.

Axis legend: f frames, H W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor


def to_model_range(pixels: Tensor) -> Tensor:
    """Map uint8 in ``[0, 255]`` to float32 in ``[-1, 1]``, any shape."""
    return (pixels.float() / 255 - 0.5) * 2


def from_model_range(values: Tensor) -> Tensor:
    """Map floats in ``[-1, 1]`` to uint8 in ``[0, 255]``, any shape; rounds down.

    Source: SoulX-FlashTalk ``run_pipeline`` @ 688982e, and the cast to uint8 of its script.
    """
    return (((values.float() + 1) / 2).clamp(0, 1) * 255).to(torch.uint8)


def to_images(frames: Tensor) -> Tensor:
    """Bring frames ``(3, f, H, W)`` in ``[-1, 1]`` to host memory, ``(f, H, W, 3)`` uint8."""
    images = from_model_range(frames).permute(1, 2, 3, 0).contiguous()
    if images.device.type != "cuda":
        return images.cpu()
    # A GPU writes to pinned memory ten times as fast; PyTorch caches such memory for the next.
    host = torch.empty(images.shape, dtype=images.dtype, pin_memory=True)
    host.copy_(images, non_blocking=True)
    torch.cuda.current_stream(images.device).synchronize()
    return host

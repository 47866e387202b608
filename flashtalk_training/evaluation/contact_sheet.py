"""Frames laid out as images."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

_NUM_COLUMNS = 8


def contact_row(portrait: Tensor, frames: Tensor) -> Tensor:
    """Return the portrait and evenly spaced frames in a row, ``(3, H, n * W)``."""
    picked = torch.linspace(0, len(frames) - 1, _NUM_COLUMNS).long()
    return torch.cat([portrait, *frames[picked]], dim=2)


def save_image(image: Tensor, path: Path) -> None:
    """Write ``(3, H, W)`` in ``[0, 1]`` as PNG."""
    from PIL import Image

    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(path, optimize=True)

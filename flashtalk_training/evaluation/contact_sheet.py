"""Frames laid out as images."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Generator, Tensor

from ..drawn_faces.motion import FRAME_RATE_HZ, LIVELINESS, sample_motion
from ..stage_1.faces_source import random_mouths
from .batched_sessions import HeldOutFaces

_NUM_COLUMNS = 8
_LIVELY = LIVELINESS.index("lively")
_DRAWN_S = 4
"""Time that a row of drawings spans."""


def contact_row(portrait: Tensor, frames: Tensor) -> Tensor:
    """Return the portrait and evenly spaced frames in a row, ``(3, H, n * W)``."""
    picked = torch.linspace(0, len(frames) - 1, _NUM_COLUMNS).long()
    return torch.cat([portrait, *frames[picked]], dim=2)


def drawn_sheet(held_out: HeldOutFaces, size_px: tuple[int, int]) -> Tensor:
    """Draw faces in lively movement, a row each, the portrait first: ``(3, B * H, n * W)``."""
    generator, frames = Generator().manual_seed(held_out.first_face), _DRAWN_S * FRAME_RATE_HZ
    motion = sample_motion(held_out.count, frames, generator, _LIVELY)
    motion = motion.with_mouth(random_mouths(held_out.count, frames, generator))
    picked = motion.frames(torch.linspace(0, frames - 1, _NUM_COLUMNS).long())
    faces = held_out.identities()
    videos = held_out.style.render(faces, picked, size_px)
    rows = map(contact_row, held_out.style.portraits(faces, size_px), videos)
    return torch.cat(list(rows), dim=1)


def save_image(image: Tensor, path: Path) -> None:
    """Write ``(3, H, W)`` in ``[0, 1]`` as PNG, or as WebP by the name's ending."""
    from PIL import Image

    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(path, optimize=True)

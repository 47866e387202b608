"""Measures on images alone: how far a mouth is open, and where mouths are."""

from __future__ import annotations

import torch
from torch import Tensor

from .drift import border_mask
from .sdf import smoothstep

_ROWS = (0.50, 0.90)
_COLUMNS = (0.22, 0.78)
_REDNESS = (0.42, 0.66)
"""Where a colour starts and ends to count as the inside of a mouth."""
_FULL_HEIGHT = 0.092
"""Measured height of a fully open mouth, as a share of the image's."""
_FULL_WIDTH = 0.2
"""Measured width of a wide open mouth, likewise."""


def measure_mouth_opening(frames: Tensor) -> Tensor:
    """Measure the height of the mouth's dark red inside.

    Every pixel is weighed by how much its hue is that of the inside of a mouth, whatever its
    brightness; the height is the contraharmonic mean of the column sums, which a wider or a
    rounder mouth does not change and a few stray pixels hardly.

    Args:
        frames: Images of drawn faces, ``(..., 3, H, W)`` in ``[0, 1]``, any size.

    Returns:
        Openings ``(...)`` float32, 0 shut and about 1 fully open.
    """
    return _extent(_inside(frames).sum(dim=-2), frames.shape[-2]) / _FULL_HEIGHT


def measure_mouth_shape(frames: Tensor) -> Tensor:
    """Measure height and width of the mouth's dark red inside, as :func:`measure_mouth_opening`.

    Args:
        frames: Images of drawn faces, ``(..., 3, H, W)`` in ``[0, 1]``, any size.

    Returns:
        ``(..., 2)`` float32: the opening, and the width on a like scale.
    """
    width = _extent(_inside(frames).sum(dim=-1), frames.shape[-1]) / _FULL_WIDTH
    return torch.stack([measure_mouth_opening(frames), width], dim=-1)


def _inside(frames: Tensor) -> Tensor:
    """Return how much each pixel around the mouth is its inside, ``(..., h, w)``."""
    height, width = frames.shape[-2:]
    rows = slice(round(_ROWS[0] * height), round(_ROWS[1] * height))
    columns = slice(round(_COLUMNS[0] * width), round(_COLUMNS[1] * width))
    red, green, blue = frames[..., rows, columns].float().clamp(0.0, 1.0).unbind(-3)
    redness = (red - torch.maximum(green, blue)) / (red + 0.10)
    return smoothstep((redness - _REDNESS[0]) / (_REDNESS[1] - _REDNESS[0]))


def _extent(lengths: Tensor, side: int) -> Tensor:
    """Return the contraharmonic mean of ``(..., n)`` lengths in pixels, as a share of ``side``."""
    share = lengths / side
    # One pixel of a column more or less must not turn an empty mouth into a tall one.
    return share.square().sum(-1) / (share.sum(-1) + 4.0 / side)


def anchor_mask(cells: int, inner: float, device: torch.device) -> Tensor:
    """Weigh the cells of an image that should stay as they are, ``(cells, cells)`` float32.

    Args:
        cells: Along either side.
        inner: Weight of what is neither border nor mouth: face, hair in front, clothes.
        device: Where the mask goes.

    Returns:
        1 where :func:`border_mask` is, 0 where mouths are measured, ``inner`` elsewhere.
    """
    border = border_mask(cells, device)
    return torch.maximum(inner * no_mouth_mask(cells, device), border)


def no_mouth_mask(cells: int, device: torch.device) -> Tensor:
    """Mark all but where mouths are measured, ``(cells, cells)`` float32 of 0 and 1."""
    mask = torch.ones(cells, cells, device=device)
    place = (torch.arange(cells, device=device) + 0.5) / cells
    rows, columns = ((place > low) & (place < high) for low, high in (_ROWS, _COLUMNS))
    mask[rows[:, None] & columns[None, :]] = 0
    return mask

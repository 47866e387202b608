"""Measures on pictures alone: how far a mouth is open, and how far a video has drifted."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .sdf import smoothstep

_ROWS = (0.50, 0.90)
_COLUMNS = (0.22, 0.78)
_REDNESS = (0.42, 0.66)
"""Where a colour starts and ends to count as the inside of a mouth."""
_FULL_HEIGHT = 0.092
"""Measured height of a fully open mouth, as a share of the picture's."""
_FULL_WIDTH = 0.2
"""Measured width of a wide open mouth, likewise."""
_BORDER = 0.14
"""Sides and top of a picture that show background and hair, as a share of its size."""
_COARSE = 16
"""Side of the low-passed picture that drift is measured on."""


def measure_mouth_opening(frames: Tensor) -> Tensor:
    """Measure the height of the mouth's dark red inside.

    Every pixel is weighed by how much its hue is that of the inside of a mouth, whatever its
    brightness; the height is the contraharmonic mean of the column sums, which a wider or a
    rounder mouth does not change and a few stray pixels hardly.

    Args:
        frames: Pictures of drawn faces, ``(..., 3, H, W)`` in ``[0, 1]``, any size.

    Returns:
        Openings ``(...)`` float32, 0 shut and about 1 fully open.
    """
    return _extent(_inside(frames).sum(dim=-2), frames.shape[-2]) / _FULL_HEIGHT


def measure_mouth_shape(frames: Tensor) -> Tensor:
    """Measure height and width of the mouth's dark red inside, as :func:`measure_mouth_opening`.

    Args:
        frames: Pictures of drawn faces, ``(..., 3, H, W)`` in ``[0, 1]``, any size.

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


def measure_sharpness(frames: Tensor) -> Tensor:
    """Return the mean absolute Laplacian of the brightness, ``(...)``, of ``(..., 3, H, W)``."""
    light = frames.float().mean(dim=-3)
    inner = light[..., 1:-1, 1:-1]
    around = light[..., :-2, 1:-1] + light[..., 2:, 1:-1] + light[..., 1:-1, :-2]
    return (4 * inner - around - light[..., 1:-1, 2:]).abs().mean(dim=(-2, -1))


class Drift(NamedTuple):
    """Distance of each frame from the portrait; both 0 for the portrait itself."""

    colour: Tensor
    """Mean Lab distance (delta E 76) of background and hair, ``(...)``."""
    structure: Tensor
    """One minus the correlation of the low-passed brightness, ``(...)``, 0 to 2."""


def measure_drift(frames: Tensor, reference: Tensor) -> Drift:
    """Measure how far frames have moved away from the portrait in colour and shape.

    Both are taken on a coarse picture, so that sway, blinks and the mouth count little.

    Args:
        frames: Pictures ``(..., 3, H, W)`` in ``[0, 1]``.
        reference: Portrait ``(3, H, W)``, or one for each frame, broadcasting.

    Returns:
        Drift of each frame.
    """
    lab, lab_reference = _lab(_coarse(frames)), _lab(_coarse(reference))
    distance = (lab - lab_reference).square().sum(dim=-3).sqrt()
    border = border_mask(_COARSE, distance.device)
    colour = (distance * border).sum(dim=(-2, -1)) / border.sum()
    light = lab[..., 0, :, :].flatten(-2)
    light_reference = lab_reference[..., 0, :, :].flatten(-2)
    light = light - light.mean(dim=-1, keepdim=True)
    light_reference = light_reference - light_reference.mean(dim=-1, keepdim=True)
    correlation = functional.cosine_similarity(light, light_reference, dim=-1)
    return Drift(colour, 1.0 - correlation)


def _coarse(frames: Tensor) -> Tensor:
    flat = frames.float().clamp(0.0, 1.0).reshape(-1, *frames.shape[-3:])
    small = functional.adaptive_avg_pool2d(flat, (_COARSE, _COARSE))
    return small.view(*frames.shape[:-2], _COARSE, _COARSE)


def border_mask(cells: int, device: torch.device) -> Tensor:
    """Mark the top and the sides above the shoulders, ``(cells, cells)`` float32 of 0 and 1."""
    place = (torch.arange(cells, device=device) + 0.5) / cells
    side = (place < _BORDER) | (place > 1.0 - _BORDER)
    mask = (side[None, :] & (place < 0.7)[:, None]) | (place < _BORDER)[:, None]
    return mask.float()


def anchor_mask(cells: int, inner: float, device: torch.device) -> Tensor:
    """Weigh the cells of a picture that should stay as they are, ``(cells, cells)`` float32.

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


def _lab(rgb: Tensor) -> Tensor:
    """Return CIE Lab (D65) of sRGB ``(..., 3, H, W)``."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    # Rows are X, Y and Z over the white point.
    to_xyz = linear.new_tensor(
        ((0.43395, 0.37622, 0.18983), (0.21267, 0.71516, 0.07217), (0.01776, 0.10948, 0.87277))
    )
    xyz = torch.einsum("ij,...jhw->...ihw", to_xyz, linear)
    root = torch.where(xyz > 0.008856, xyz.clamp(min=1e-6) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = root.unbind(-3)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), dim=-3)

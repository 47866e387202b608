"""Measures on images alone: how far a video has drifted from its portrait."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

_BORDER = 0.14
"""Sides and top of an image that show background and hair, as a share of its size."""
_COARSE = (16, 16)
"""Size of the low-passed image that drift is measured on."""


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

    Both are taken on a coarse image, so that sway, blinks and the mouth count little.

    Args:
        frames: Images ``(..., 3, H, W)`` in ``[0, 1]``.
        reference: Portrait ``(3, H, W)``, or one for each frame, broadcasting.

    Returns:
        Drift of each frame.
    """
    lab, lab_reference = coarse_lab(frames), coarse_lab(reference)
    distance = (lab - lab_reference).square().sum(dim=-3).sqrt()
    border = border_mask(_COARSE[0], distance.device)
    colour = (distance * border).sum(dim=(-2, -1)) / border.sum()
    light = lab[..., 0, :, :].flatten(-2)
    light_reference = lab_reference[..., 0, :, :].flatten(-2)
    light = light - light.mean(dim=-1, keepdim=True)
    light_reference = light_reference - light_reference.mean(dim=-1, keepdim=True)
    correlation = functional.cosine_similarity(light, light_reference, dim=-1)
    return Drift(colour, 1.0 - correlation)


def border_colour_change(frames: Tensor, reference: Tensor) -> Tensor:
    """Return by how much background and hair differ from the portrait's, averaged over time.

    It looks where :func:`measure_drift` does, with a gradient that is never endless, and hardly
    sees a head that sways past, which the mean over time evens out.

    Args:
        frames: Images ``(B, F, 3, H, W)`` in ``[0, 1]``.
        reference: Portraits ``(B, 3, H, W)``.

    Returns:
        ``(B, 3, N)``, difference in Lab of all N coarse pixels of the border.
    """
    change = coarse_lab(frames).mean(dim=1) - coarse_lab(reference)
    return change[..., border_mask(_COARSE[0], frames.device) > 0]


def coarse_lab(frames: Tensor, size: tuple[int, int] = _COARSE) -> Tensor:
    """Shrink sRGB images ``(..., 3, H, W)`` in ``[0, 1]`` and return CIE Lab (D65) of them."""
    flat = frames.float().clamp(0.0, 1.0).reshape(-1, *frames.shape[-3:])
    return _lab(functional.adaptive_avg_pool2d(flat, size).view(*frames.shape[:-2], *size))


def border_mask(cells: int, device: torch.device) -> Tensor:
    """Mark the top and the sides above the shoulders, ``(cells, cells)`` float32 of 0 and 1."""
    place = (torch.arange(cells, device=device) + 0.5) / cells
    side = (place < _BORDER) | (place > 1.0 - _BORDER)
    mask = (side[None, :] & (place < 0.7)[:, None]) | (place < _BORDER)[:, None]
    return mask.float()


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

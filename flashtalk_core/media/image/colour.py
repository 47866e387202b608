"""Colour match of frames to an image: mean and deviation in CIE Lab, frame by frame.

Axis legend: F frames, H W pixels; three colour channels come first, as in the decoder's output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...config.sampling import ColourArea

# sRGB primaries under D65, and the white point they are divided by.
_RGB_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_XYZ_TO_RGB = (
    (3.2404542, -1.5371385, -0.4985314),
    (-0.9692660, 1.8760108, 0.0415560),
    (0.0556434, -0.2040259, 1.0572252),
)
_WHITE = (0.95047, 1.0, 1.08883)
# CIE's constants as they are usually rounded; the golden numbers use these, not the fractions.
_EPSILON = 0.008856
_KAPPA = 903.3
# A frame flatter than this in a Lab channel has no contrast to stretch: what deviation is left
# is rounding, which would otherwise be blown up to the contrast of the image.
_FLAT = 1e-3
_MOUTH_ROWS, _MOUTH_COLUMNS = (0.5, 0.9), (0.22, 0.78)
"""Where mouths are in a portrait of head and shoulders that sways, shares of height and width."""


def outside_mouth(
    size_px: tuple[int, int],
    corner_px: tuple[int, int] = (0, 0),
    whole_px: tuple[int, int] | None = None,
    device: torch.device | None = None,
) -> Tensor:
    """Mark the pixels around the place of mouths, ``(H, W)`` float32 of 0 and 1.

    Args:
        size_px: Height and width of a frame, or of a part of it.
        corner_px: Row and column of the frame where the part begins.
        whole_px: Height and width of the whole frame; ``None`` if it is no part.
        device: Where the marks go.
    """
    (rows, columns), whole = size_px, whole_px or size_px
    places = zip((rows, columns), corner_px, whole, strict=True)
    row, column = (
        (torch.arange(count, device=device) + first + 0.5) / length
        for count, first, length in places
    )
    inside = [
        (place > low) & (place < high)
        for place, (low, high) in ((row, _MOUTH_ROWS), (column, _MOUTH_COLUMNS))
    ]
    return 1 - (inside[0][:, None] & inside[1]).float()


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert sRGB to Lab.

    Args:
        rgb: ``(3, ...)`` float32 in ``[0, 1]``.

    Returns:
        ``(3, ...)`` float32: L in ``[0, 100]``, then a and b.
    """
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = _mix(_RGB_TO_XYZ, linear) / _per_channel(_WHITE, rgb)
    xyz = xyz.clamp(1e-8, 1.0)
    x, y, z = torch.where(xyz > _EPSILON, xyz ** (1 / 3), (_KAPPA * xyz + 16) / 116)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Convert Lab to sRGB, clamped to what can be shown.

    Args:
        lab: ``(3, ...)`` float32.

    Returns:
        ``(3, ...)`` float32 in ``[0, 1]``.
    """
    lightness, a, b = lab
    y = (lightness + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200])
    cube = f**3
    xyz = torch.where(cube > _EPSILON, cube, (116 * f - 16) / _KAPPA)
    linear = _mix(_XYZ_TO_RGB, xyz * _per_channel(_WHITE, lab))
    # Out-of-gamut negatives stay on the straight part; the power never sees them.
    curve = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, curve, 12.92 * linear).clamp(0.0, 1.0)


@dataclass(frozen=True)
class ColourReference:
    """Lab statistics of the image every frame is matched to."""

    mean: Tensor
    """Mean of L, a and b, ``(3,)`` float32."""
    std: Tensor
    """Population standard deviation of L, a and b, ``(3,)`` float32."""
    no_mouth: ColourReference | None = None
    """The same of the pixels around the place of mouths; ``None`` where nobody asks for it."""
    size_px: tuple[int, int] | None = None
    """Height and width of the image, where ``no_mouth`` is."""

    @classmethod
    def from_image(cls, image: Tensor) -> ColourReference:
        """Measure ``image``, ``(3, H, W)`` in ``[-1, 1]``, and what is around its mouth."""
        lab = rgb_to_lab((image.float() + 1) / 2)
        height, width = lab.shape[-2:]
        weights = outside_mouth((height, width), device=lab.device)
        mean, std = _statistics(lab)
        mean_around, std_around = _statistics_of_parts(lab, _same, weights)
        no_mouth = cls(mean_around.reshape(3), std_around.reshape(3))
        return cls(mean.reshape(3), std.reshape(3), no_mouth, (height, width))

    def of(self, area: ColourArea) -> ColourReference:
        """Return the statistics of an area."""
        if area == "frame":
            return self
        assert self.no_mouth is not None
        return self.no_mouth


def match_colours(
    frames: Tensor,
    reference: ColourReference,
    strength: float = 1.0,
    total: Callable[[Tensor], Tensor] | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Give each frame the Lab mean and deviation of the reference.

    By the authors' rule all pixels are measured, so that an open mouth shifts the colours of all
    else a little; with weights these are measured alone, and still all are changed.

    Args:
        frames: ``(3, F, H, W)`` in ``[-1, 1]``, any float dtype and device; the sums are done
            in float32.
        reference: Statistics to match.
        strength: Share of the matched frame in the result, 0 (returns ``frames``) to 1.
        total: Adds up sums over the parts of a frame, if ``frames`` are a part, which may have no
            pixels; called equally often for each part. ``None`` where they are whole.
        weights: How much each pixel is measured, ``(H, W)`` float32, such as of
            :func:`outside_mouth`; ``reference`` is then of the same. ``None`` for all alike.

    Returns:
        ``(3, F, H, W)``, the dtype of ``frames``.

    Source: SoulX-FlashTalk ``match_and_blend_colors_torch`` @ 688982e.
    """
    assert 0 <= strength <= 1, strength
    if strength == 0:
        return frames
    rgb = (frames.float() + 1) / 2
    lab = rgb_to_lab(rgb)
    if total is None and weights is None:
        mean, std = _statistics(lab)
    else:
        mean, std = _statistics_of_parts(lab, total or _same, weights)
    scale = reference.std.to(lab).reshape(3, 1, 1, 1) / torch.where(std < _FLAT, 1.0, std)
    goal = reference.mean.to(lab).reshape(3, 1, 1, 1)
    matched = lab_to_rgb(torch.addcmul(goal, lab - mean, scale))
    blended = matched if strength == 1 else (1 - strength) * rgb + strength * matched
    return (blended * 2 - 1).to(frames.dtype)


def _statistics(lab: Tensor) -> tuple[Tensor, Tensor]:
    # Not ``std``, which takes three times as long on a CPU.
    mean = lab.mean(dim=(-2, -1), keepdim=True)
    return mean, (lab - mean).square().mean(dim=(-2, -1), keepdim=True).sqrt()


def _same(values: Tensor) -> Tensor:
    return values


def _statistics_of_parts(
    lab: Tensor, total: Callable[[Tensor], Tensor], weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return what :func:`_statistics` returns of whole frames, from one part of each."""

    def added(values: Tensor) -> Tensor:
        return (values if weights is None else values * weights).sum(dim=(-2, -1), keepdim=True)

    sums = added(lab)
    count = lab.new_tensor(lab.shape[-2] * lab.shape[-1]) if weights is None else weights.sum()
    sums, num_pixels = total(torch.stack([sums, count.expand_as(sums)]))
    mean = sums / num_pixels
    squares = total(added((lab - mean).square()))
    return mean, (squares / num_pixels).sqrt()


def _mix(matrix: tuple[tuple[float, ...], ...], channels: Tensor) -> Tensor:
    if channels.device.type == "cpu" and channels.dtype == torch.float32:
        return torch.tensor(matrix).matmul(channels.flatten(1)).view_as(channels)
    # Written out instead of a matrix product: no TF32 or half-precision shortcut applies to it.
    first, second, third = channels
    return torch.stack([a * first + b * second + c * third for a, b, c in matrix])


def _per_channel(values: tuple[float, ...], like: Tensor) -> Tensor:
    shape = (3,) + (1,) * (like.ndim - 1)
    return torch.tensor(values, dtype=like.dtype, device=like.device).reshape(shape)

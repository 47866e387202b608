"""Measures on images alone: where a drawn head is, whose it is, and whether its eyes are open.

Places are in heights of the image, from its middle, as heads are drawn whatever the format.

Axis legend: B sessions, F frames, H W pixels, P patterns, h w places.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, fft
from torch.nn import functional

from .drift import coarse_lab

_HEAD_ROWS, _HEAD_HALF_WIDTH = (-0.31, 0.07), 0.25
"""Hair, brows, eyes and nose of a face at rest; no mouth."""
HEAD_MIDDLE = -0.12
"""What tilts turn about."""
_HEAD_REACH = (0.08, 0.18)
"""How far down and to the side a head is looked for."""
_ROLLS = (-0.24, -0.12, 0.0, 0.12, 0.24)
"""Tilts that are tried, in radians."""
_BLUR = 0.08
"""Width of the blur under which heads are compared."""
_COARSE = (7, 8)
"""Pixels of a head whose colours are compared."""
_EYE_ROWS, _EYE_HALF_WIDTH = (-0.1, 0.02), 0.19
_EYE_REACH = (0.025, 0.035)
"""How far eyes slide over a head that turns."""


class Head(NamedTuple):
    """What is seen of a head in each frame, ``(B, F)`` float32 each."""

    unlike: Tensor
    """One minus the correlation with the portrait's head, both where they match best; 0 to 2."""
    x: Tensor
    """To the right of where the portrait has it, in heights of the image, by whole pixels."""
    y: Tensor
    """Below it, likewise."""
    roll: Tensor
    """Tilt clockwise in radians, the nearest of a few."""


def find_heads(frames: Tensor, portraits: Tensor) -> Head:
    """Find each portrait's head in its frames.

    The head is moved and tilted until it fits best, so that sway hardly counts as another face.

    Args:
        frames: ``(B, F, 3, H, W)`` in ``[0, 1]``.
        portraits: Faces at rest, ``(B, 3, H, W)`` in ``[0, 1]``.

    Returns:
        Likeness and place of every frame's head.
    """
    height, count = frames.shape[-2], len(_ROLLS)
    rows, columns = _cut(frames, _HEAD_ROWS, _HEAD_HALF_WIDTH, (0.0, 0.0))
    wide_rows, wide_columns = _cut(frames, _HEAD_ROWS, _HEAD_HALF_WIDTH, _HEAD_REACH)
    known, rolls = _soften(portraits), portraits.new_tensor(_ROLLS).float()
    tilted = _straightened(
        known[:, None].expand(-1, count, -1, -1, -1), -rolls.expand(len(known), -1)
    )
    match = _match(
        _soften(frames)[..., wide_rows, wide_columns],
        tilted[..., rows, columns],
        by_channel=False,
    )
    down, aside = (
        cut.start - wide.start for cut, wide in ((rows, wide_rows), (columns, wide_columns))
    )
    best, place = match.flatten(2).max(dim=-1)
    lines, width = match.shape[-2:]
    x, y = (place % width - aside) / height, (place // width % lines - down) / height
    return Head(1 - best, x, y, rolls[place // (width * lines)])


def head_colour_change(frames: Tensor, portraits: Tensor) -> Tensor:
    """Return by how much heads differ from the portrait's, averaged over time, with a gradient.

    They are compared where they are; where that is has no gradient. Turns and nods are left in.

    Args:
        frames: ``(B, F, 3, H, W)`` in ``[0, 1]``.
        portraits: Faces at rest, ``(B, 3, H, W)`` in ``[0, 1]``.

    Returns:
        ``(B, 3, N)``, difference in Lab of all N coarse pixels of the head.
    """
    with torch.no_grad():
        heads = find_heads(frames, portraits)
    held = _straightened(frames.float(), heads.roll, heads.x, heads.y)
    rows, columns = _cut(frames, _HEAD_ROWS, _HEAD_HALF_WIDTH, (0.0, 0.0))
    now, known = (coarse_lab(each[..., rows, columns], _COARSE) for each in (held, portraits))
    return (now.mean(dim=1) - known).flatten(2)


def measure_open_eyes(frames: Tensor, heads: Head, opened: Tensor, shut: Tensor) -> Tensor:
    """Measure whether eyes look more like the open ones of a face or like its shut ones.

    Args:
        frames: ``(B, F, 3, H, W)`` in ``[0, 1]``.
        heads: Where their heads are.
        opened: Faces at rest, ``(B, 3, H, W)``.
        shut: The same with their eyes shut.

    Returns:
        Difference of the two correlations, ``(B, F)`` in ``[-2, 2]``: above 0 is open. Light and
        contrast do not change it.
    """
    held = _straightened(frames.float(), heads.roll, heads.x, heads.y)
    rows, columns = _cut(frames, _EYE_ROWS, _EYE_HALF_WIDTH, (0.0, 0.0))
    wide = _cut(frames, _EYE_ROWS, _EYE_HALF_WIDTH, _EYE_REACH)
    patterns = torch.stack([opened, shut], dim=1).float()[..., rows, columns]
    match = _match(held[..., wide[0], wide[1]], patterns, by_channel=True).amax(dim=(-2, -1))
    return match[..., 0] - match[..., 1]


def _cut(
    frames: Tensor, rows: tuple[float, float], half_width: float, reach: tuple[float, float]
) -> tuple[slice, slice]:
    """Return rows and columns of a place and its surroundings, as far as the image goes."""
    height, width = frames.shape[-2:]
    top, bottom = (round((0.5 + row) * height) for row in rows)
    side = min(round(half_width * height), width // 2)
    down, aside = (round(share * height) for share in reach)
    return (
        slice(max(0, top - down), min(height, bottom + down)),
        slice(max(0, width // 2 - side - aside), min(width, width // 2 + side + aside)),
    )


def _soften(images: Tensor) -> Tensor:
    """Blur, so that features which slide over a head that turns count little."""
    side = round(_BLUR * images.shape[-2] / 2)
    flat = images.float().flatten(0, -4)
    soft = functional.avg_pool2d(flat, 2 * side + 1, 1, padding=side, count_include_pad=False)
    return soft.view(images.shape)


def _straightened(
    images: Tensor, roll: Tensor, x: Tensor | None = None, y: Tensor | None = None
) -> Tensor:
    """Put heads ``(B, F, 3, H, W)`` upright and where portraits have them.

    Args:
        images: Heads at ``x`` and ``y``, tilted by ``roll``, ``(B, F)`` each.
        roll: See above; its negative tilts upright ones.
        x: See above; ``None`` for 0.
        y: Likewise.
    """
    height, width = images.shape[-2:]
    aspect, middle = width / height, 2 * HEAD_MIDDLE
    cos, sin = roll.cos(), roll.sin()
    right = torch.zeros_like(roll) if x is None else 2 * x
    down = torch.zeros_like(roll) if y is None else 2 * y
    rows = (
        (cos, -sin / aspect, (right + sin * middle) / aspect),
        (sin * aspect, cos, down + middle - cos * middle),
    )
    theta = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2).flatten(0, 1)
    flat = images.flatten(0, 1)
    grid = functional.affine_grid(theta, list(flat.shape), align_corners=False)
    moved = functional.grid_sample(flat, grid, padding_mode="border", align_corners=False)
    return moved.view(images.shape)


def _match(frames: Tensor, patterns: Tensor, by_channel: bool) -> Tensor:
    """Correlate patterns with every place of their frames.

    Args:
        frames: ``(B, F, 3, H, W)`` float32.
        patterns: ``(B, P, 3, h, w)``, no larger.
        by_channel: Whether each channel's mean is taken off, so that a tint does not count.

    Returns:
        ``(B, F, P, H - h + 1, W - w + 1)`` in ``[-1, 1]``.
    """
    sides = list(frames.shape[-2:])
    patterns = patterns - patterns.mean(dim=(3, 4) if by_channel else (2, 3, 4), keepdim=True)
    size = patterns.flatten(2).norm(dim=2).clamp(min=1e-6)
    patterns = patterns / size[..., None, None, None]
    places = [whole - part + 1 for whole, part in zip(sides, patterns.shape[-2:], strict=True)]
    # Patterns are large: a convolution takes many times as long and as much memory.
    spectra = fft.rfft2(frames)[:, :, None] * fft.rfft2(patterns, s=sides).conj()[:, None]
    found = fft.irfft2(spectra.sum(dim=3), s=sides)[..., : places[0], : places[1]]
    flat = frames.flatten(0, 1)
    power, level = (_mean_within(each, *patterns.shape[-2:]) for each in (flat.square(), flat))
    if not by_channel:
        power, level = (each.mean(dim=1, keepdim=True) for each in (power, level))
    variance = (power - level.square()).mean(dim=1).clamp(min=1e-8)
    deviation = (variance * patterns[0, 0].numel()).sqrt().view(*frames.shape[:2], 1, *places)
    return found / deviation


def _mean_within(images: Tensor, height: int, width: int) -> Tensor:
    """Average every rectangle that lies within ``(N, C, H, W)``, rows first, columns then."""
    return functional.avg_pool2d(functional.avg_pool2d(images, (height, 1), 1), (1, width), 1)

"""Measures on pictures alone: where a drawn head is, whose it is, and whether its eyes are open.

Axis legend: B sessions, F frames, H W pixels, R rolls.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .sdf import smoothstep

EYES_SHUT = 0.5
"""White of the eyes, as a share of the portrait's, below which they count as shut."""
_HEAD_ROWS, _HEAD_COLUMNS = (0.19, 0.57), (0.25, 0.75)
"""Hair, brows, eyes and nose of a face at rest, as a share of the picture's size; no mouth."""
_FURTHEST = (0.08, 0.18)
"""How far down and to the side a head is looked for, as a share of the picture's height."""
_ROLLS = (-0.24, -0.12, 0.0, 0.12, 0.24)
"""Tilts that are tried, in radians."""
_BLUR = 0.08
"""Width of the blur under which heads are compared, as a share of the picture's height."""
_EYE_ROWS, _EYE_COLUMNS = (0.40, 0.52), (0.31, 0.69)
_WHITE = (0.72, 0.88)
"""Where the darkest channel of a colour starts and ends to count as the white of an eye."""


class Head(NamedTuple):
    """What is seen of a head in each frame, ``(B, F)`` float32 each."""

    unlike: Tensor
    """One minus the correlation with the portrait's head, both where they match best; 0 to 2."""
    x: Tensor
    """To the right of where the portrait has it, as a share of the picture's height."""
    y: Tensor
    """Below it, likewise."""
    eyes: Tensor
    """White of the eyes, as a share of the portrait's: about 1 open, 0 shut."""


def measure_head(frames: Tensor, portraits: Tensor) -> Head:
    """Find each portrait's head in its frames.

    The head is moved and tilted until it fits best, so that sway does not count as another face.

    Args:
        frames: ``(B, F, 3, H, W)`` in ``[0, 1]``.
        portraits: Faces at rest, ``(B, 3, H, W)`` in ``[0, 1]``.

    Returns:
        Likeness, place and eyes of every frame.
    """
    batch, count, _, height, width = frames.shape
    seen, known = (_soften(each.flatten(0, -4)) for each in (frames, portraits[:, None]))
    down, aside = (round(share * height) for share in _FURTHEST)
    top, bottom = (round(share * height) for share in _HEAD_ROWS)
    left, right = (round(share * width) for share in _HEAD_COLUMNS)
    patterns = torch.stack([_tilted(known, roll) for roll in _ROLLS], dim=1)
    patterns = patterns[..., top:bottom, left:right].flatten(0, 1)
    patterns = patterns - patterns.mean(dim=(1, 2, 3), keepdim=True)
    patterns = patterns / patterns.flatten(1).norm(dim=1).clamp(min=1e-6).view(-1, 1, 1, 1)
    around = seen[..., top - down : bottom + down, left - aside : right + aside]
    around = around.unflatten(0, (batch, count)).transpose(0, 1).flatten(1, 2)
    match = functional.conv2d(around, patterns, groups=batch)
    match = match.unflatten(1, (batch, len(_ROLLS)))
    size = patterns.shape[-2:]
    planes = around.unflatten(1, (batch, -1)).flatten(0, 1)
    power, level = (
        functional.avg_pool2d(each.mean(dim=1, keepdim=True), size, 1).unflatten(0, (count, batch))
        for each in (planes.square(), planes)
    )
    deviation = (power - level.square()).clamp(min=1e-8).sqrt() * math.sqrt(patterns[0].numel())
    best, place = (match / deviation).amax(dim=2).transpose(0, 1).flatten(2).max(dim=-1)
    columns = match.shape[-1]
    x, y = (place % columns - aside) / height, (place // columns - down) / height
    return Head(1 - best, x, y, _open_eyes(frames, portraits, x, y))


def _soften(pictures: Tensor) -> Tensor:
    """Blur, so that features which slide over a head that turns count little."""
    side = round(_BLUR * pictures.shape[-2] / 2)
    return functional.avg_pool2d(
        pictures.float(), 2 * side + 1, 1, padding=side, count_include_pad=False
    )


def _tilted(pictures: Tensor, roll: float) -> Tensor:
    """Turn pictures ``(B, 3, H, W)`` clockwise about the middle of the head."""
    height, width = pictures.shape[-2:]
    middle = _HEAD_ROWS[0] + _HEAD_ROWS[1] - 1
    aspect = width / height
    cos, sin = math.cos(roll), math.sin(roll)
    theta = pictures.new_tensor(
        ((cos, sin / aspect, -sin / aspect * middle), (-sin * aspect, cos, middle - cos * middle))
    )
    return _sampled(pictures, theta.expand(len(pictures), -1, -1))


def _sampled(pictures: Tensor, theta: Tensor) -> Tensor:
    grid = functional.affine_grid(theta, list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def _open_eyes(frames: Tensor, portraits: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the white around the eyes of heads that are at ``x`` and ``y``, ``(B, F)``."""
    height, width = frames.shape[-2:]
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    rows = ((one, zero, 2 * x * height / width), (zero, one, 2 * y))
    theta = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    held = _sampled(frames.float().flatten(0, 1), theta.flatten(0, 1)).unflatten(0, x.shape)
    return _white(held) / _white(portraits.float())[:, None].clamp(min=1e-3)


def _white(pictures: Tensor) -> Tensor:
    """Return the mean white in the band of the eyes, ``(...)``."""
    height, width = pictures.shape[-2:]
    rows = slice(*(round(share * height) for share in _EYE_ROWS))
    columns = slice(*(round(share * width) for share in _EYE_COLUMNS))
    darkest = pictures[..., rows, columns].amin(dim=-3)
    return smoothstep((darkest - _WHITE[0]) / (_WHITE[1] - _WHITE[0])).mean(dim=(-2, -1))

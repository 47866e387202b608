"""Measure on images alone: how far a face's eyes are from any that the drawing program would draw.

When eyes blink, and where they look, is free; how open and closed eyes of this face look is not.
So an eye is compared with the same eye in all its states, each moved, tilted and stretched a little
until it fits best. What is left is large where an eye is smeared, half there or doubled.

Axis legend: B faces, F frames, E eyes (2), S states, N patches, H W pixels, h w pixels of a patch.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .damage import blur
from .head import HEAD_MIDDLE, Head
from .motion import FaceMotion, rest_motion
from .scene import HEAD_SCALE, HEAD_Y
from .styles import Style

_HALF_HEIGHT, _HALF_WIDTH = 0.042, 0.07
"""Of a patch around an eye, in heights of the image."""
_REACH = 0.04
"""How far from its place on a head at rest an eye is looked for, likewise."""
_CLOSING, _CLOSED = (0.15, 0.3, 0.45, 0.6), (0.75, 0.87, 1.0)
"""Blinks at which the iris is seen, and at which it hardly is."""
_GAZES_X, _GAZES_Y = (-0.8, -0.4, 0.0, 0.4, 0.8), (-0.4, 0.0, 0.4)
_BROWS = (-0.9, -0.45, 0.0)
"""Brows that are lowered come close to an eye."""
_NUM_FITTED = 8
"""States, those that fit best before they are moved by parts of a pixel."""
_AT_ONCE = 8
"""States drawn in one batch."""
_STEPS = 4
"""Steps of the fit."""
_LARGEST_STEP = (1.5, 0.1)
"""Pixels, and share of its size, by which a patch may change in a step."""
_FIRMNESS = 1e-3
"""What keeps the fit from dividing by nothing in a patch without contrast."""


class EyeStates(NamedTuple):
    """What the eyes of each face may look like."""

    patches: Tensor
    """``(B, E, S, 3, h, w)``, each channel's mean taken off."""
    places: Tensor
    """Middle of each eye in the portrait, x and y in pixels, ``(B, E, 2)``."""
    contrast: Tensor
    """Norm of the state that has most, ``(B, E)``."""


def draw_eye_states(style: Style, faces: Any, size_px: tuple[int, int]) -> EyeStates:
    """Draw the eyes of faces, open to shut, looking to either side and ahead.

    Args:
        style: How they are drawn.
        faces: Faces of that style.
        size_px: Height and width of the images that will be measured.
    """
    count, (height, width) = len(faces.eye_y), size_px
    motion = _states_motion(count).to(faces.eye_y.device)
    num_states = motion.x.shape[1]
    # A few at a time stay in a processor's cache.
    parts = [
        motion.frames(slice(first, first + _AT_ONCE)) for first in range(0, num_states, _AT_ONCE)
    ]
    images = _soften(torch.cat([style.render(faces, part, size_px) for part in parts], dim=1))
    half = height / 2
    x = faces.eye_spacing[:, None] * HEAD_SCALE * half * faces.eye_y.new_tensor([-1.0, 1.0])
    y = (HEAD_Y + faces.eye_y * HEAD_SCALE) * half
    places = torch.stack([width / 2 + x, (height / 2 + y)[:, None].expand_as(x)], dim=-1)
    offsets = _patch_offsets(height, 0, images.device)
    straight = torch.eye(2, device=images.device).expand(count, 2, num_states, 2, 2)
    middles = places[:, :, None].expand(-1, -1, num_states, -1)
    doubled = images[:, None].expand(-1, 2, -1, -1, -1, -1)
    patches = _centred(_sample(doubled, middles, straight, offsets))
    return EyeStates(patches, places, patches.flatten(3).norm(dim=3).amax(dim=2))


def _states_motion(count: int) -> FaceMotion:
    """Return faces at rest but for eyes and brows, a frame for each state."""
    states = [
        *itertools.product((0.0,), _GAZES_X, _GAZES_Y, _BROWS),
        *itertools.product(_CLOSING, _GAZES_X, (0.0,), _BROWS),
        *itertools.product(_CLOSED, (0.0,), (0.0,), _BROWS),
    ]
    blink, gaze_x, gaze_y, brow = torch.tensor(states).T[:, None].expand(-1, count, -1)
    motion = rest_motion(count, len(states))
    return motion._replace(blink=blink, gaze_x=gaze_x, gaze_y=gaze_y, brow=brow)


def measure_eye_error(frames: Tensor, heads: Head, states: EyeStates) -> Tensor:
    """Measure how little the worse of a face's eyes looks like any of its states.

    Args:
        frames: ``(B, F, 3, H, W)`` in ``[0, 1]``.
        heads: Where their heads are.
        states: What their eyes may look like.

    Returns:
        ``(B, F)``: what the best fit leaves, as a share of an eye's contrast, about 0.1 for a
        drawing, 0.3 if it is blurred by two pixels of 128. Light and tint hardly change it.
    """
    height, reach = frames.shape[-2], round(_REACH * frames.shape[-2])
    middles, turns = _eye_places(heads, states.places, frames.shape[-2:])
    images = _soften(frames.float())[:, None].expand(-1, 2, -1, -1, -1, -1)
    # Upright and small, so that little is copied for each state.
    windows = _sample(images, middles, turns, _patch_offsets(height, reach, frames.device))
    left = _fit(windows, *_search(windows, states), _patch_offsets(height, 0, frames.device))
    return (left.amin(dim=3) / states.contrast[:, :, None].clamp(min=1e-6)).amax(dim=1)


def _soften(images: Tensor) -> Tensor:
    """Blur by about a pixel, so that where pixels lie counts little."""
    return blur(images.transpose(1, 2), 1).transpose(1, 2)


def _patch_offsets(height: int, margin: int, device: torch.device) -> Tensor:
    """Return x and y of a patch's pixels from its middle, ``(h, w, 2)``."""
    down, aside = (round(share * height) + margin for share in (_HALF_HEIGHT, _HALF_WIDTH))
    y, x = (torch.arange(-side, side + 1.0, device=device) for side in (down, aside))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def _eye_places(heads: Head, places: Tensor, size_px: torch.Size) -> tuple[Tensor, Tensor]:
    """Return where eyes are on heads that sway, ``(B, E, F, 2)``, and how these are turned."""
    height, width = size_px
    cos, sin = heads.roll.cos(), heads.roll.sin()
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)[:, None]
    middle = places.new_tensor([width / 2, height * (0.5 + HEAD_MIDDLE)])
    moved = torch.stack([heads.x, heads.y], dim=-1)[:, None] * height
    arm = (turn @ (places - middle)[:, :, None, :, None])[..., 0]
    return middle + moved + arm, turn.expand(-1, 2, -1, -1, -1)


def _sample(images: Tensor, middles: Tensor, shapes: Tensor, offsets: Tensor) -> Tensor:
    """Cut patches out.

    Args:
        images: ``(..., 3, H, W)``.
        middles: x and y in pixels, ``(..., 2)``.
        shapes: What the offsets are multiplied by, ``(..., 2, 2)``.
        offsets: ``(h, w, 2)`` in pixels.

    Returns:
        ``(..., 3, h, w)``.
    """
    height, width = images.shape[-2:]
    points = torch.einsum("...ij,hwj->...hwi", shapes, offsets) + middles[..., None, None, :]
    grid = points * points.new_tensor([2 / width, 2 / height]) - 1
    lead = images.shape[:-3]
    patches = functional.grid_sample(
        images.reshape(-1, *images.shape[-3:]), grid.reshape(-1, *grid.shape[-3:]),
        padding_mode="border", align_corners=False,
    )  # fmt: skip
    return patches.view(*lead, *patches.shape[1:])


def _centred(patches: Tensor) -> Tensor:
    return patches - patches.mean(dim=(-2, -1), keepdim=True)


def _search(windows: Tensor, states: EyeStates) -> tuple[Tensor, Tensor]:
    """Find the states that fit best, and where.

    Args:
        windows: ``(B, E, F, 3, H, W)``.
        states: What eyes may look like.

    Returns:
        Middles in x and y, ``(B, E, F, n, 2)`` pixels, and patches, ``(B, E, F, n, 3, h, w)``.
    """
    lead, patterns = windows.shape[:3], states.patches.flatten(0, 1)
    apart = _distances(windows.flatten(0, 1), patterns)
    across, (nearest, place) = apart.shape[-1], apart.flatten(3).min(dim=3)
    chosen = nearest.topk(_NUM_FITTED, dim=2, largest=False).indices
    place = place.gather(2, chosen)
    half = windows.new_tensor([patterns.shape[-1] / 2, patterns.shape[-2] / 2])
    middles = torch.stack([place % across, place // across], dim=-1) + half
    index = torch.arange(len(patterns), device=chosen.device)[:, None, None]
    return middles.view(*lead, -1, 2), patterns[index, chosen].unflatten(0, lead[:2])


def _distances(images: Tensor, patterns: Tensor) -> Tensor:
    """Return squared distances of each pattern to each place.

    Args:
        images: ``(N, F, 3, H, W)``.
        patterns: ``(N, S, 3, h, w)``, each channel's mean taken off.

    Returns:
        ``(N, F, S, H - h + 1, W - w + 1)``.
    """
    (count, frames), sides = images.shape[:2], patterns.shape[-2:]
    flat = images.transpose(0, 1).flatten(1, 2)
    match = functional.conv2d(flat, patterns.flatten(0, 1), groups=count)
    mean, power = (functional.avg_pool2d(each, tuple(sides), 1) for each in (flat, flat.square()))
    spread = (power - mean.square()).unflatten(1, (count, 3)).sum(dim=2) * sides.numel()
    size = patterns.flatten(2).square().sum(dim=2)[..., None, None]
    apart = spread[:, :, None] + size - 2 * match.unflatten(1, (count, -1))
    return apart.view(frames, *apart.shape[1:]).transpose(0, 1)


def _fit(windows: Tensor, middles: Tensor, patterns: Tensor, offsets: Tensor) -> Tensor:
    """Move, tilt and stretch patches by least squares; return the norm of what is left.

    Args:
        windows: ``(B, E, F, 3, H, W)``.
        middles: Where patches are at first, ``(B, E, F, n, 2)``.
        patterns: What they should look like, ``(B, E, F, n, 3, h, w)``.
        offsets: Of a patch's pixels, ``(h, w, 2)``.

    Returns:
        ``(B, E, F, n)``.
    """
    images = windows[:, :, :, None].expand(*middles.shape[:4], *windows.shape[3:])
    shapes = torch.eye(2, device=windows.device).expand(*middles.shape, 2)
    left = []
    for step in range(_STEPS + 1):
        patches = _sample(images, middles, shapes, offsets)
        rest = patterns - _centred(patches)
        left.append(rest.flatten(-3).norm(dim=-1))
        if step < _STEPS:
            shift, change = _least_squares(patches, rest, offsets)
            middles = middles + (shapes @ shift[..., None])[..., 0]
            shapes = shapes + shapes @ change
    return torch.stack(left).amin(dim=0)


def _least_squares(patches: Tensor, rest: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shift ``(..., 2)`` in pixels and the change of shape ``(..., 2, 2)`` to make."""
    lead = patches.shape[:-3]
    flat = functional.pad(patches.reshape(-1, *patches.shape[-3:]), (1, 1, 1, 1), mode="replicate")
    across = (flat[..., 1:-1, 2:] - flat[..., 1:-1, :-2]).view(patches.shape) / 2
    down = (flat[..., 2:, 1:-1] - flat[..., :-2, 1:-1]).view(patches.shape) / 2
    x, y = offsets.unbind(dim=-1)
    columns = [across, down, across * x, across * y, down * x, down * y]
    slopes = torch.stack([_centred(column).flatten(-3) for column in columns], dim=-1)
    size = slopes.square().sum(dim=-2).clamp(min=1e-8)
    square = slopes.mT @ slopes + _FIRMNESS * torch.diag_embed(size)
    found = torch.linalg.solve(square, slopes.mT @ rest.flatten(-3)[..., None])[..., 0]
    shift = found[..., :2].clamp(-_LARGEST_STEP[0], _LARGEST_STEP[0])
    change = found[..., 2:].clamp(-_LARGEST_STEP[1], _LARGEST_STEP[1])
    return shift, change.view(*lead, 2, 2)

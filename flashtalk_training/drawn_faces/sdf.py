"""Signed distances and coverage of the few shapes a drawn face is made of.

Every function is elementwise on broadcasting tensors, so that a compiled renderer fuses into
one kernel. Distances are negative inside, in the unit of their coordinates.
"""

from __future__ import annotations

from torch import Tensor

EDGE_PX = 1.4
"""Width of an anti-aliased edge in pixels."""
_EPS = 1e-8


def smoothstep(value: Tensor) -> Tensor:
    """Return the cubic ramp from 0 to 1 of ``value`` clamped to ``[0, 1]``."""
    ramp = value.clamp(0.0, 1.0)
    return ramp * ramp * (3.0 - 2.0 * ramp)


def cover(distance: Tensor, pixel: Tensor) -> Tensor:
    """Return how much of each pixel lies inside a shape.

    Args:
        distance: Signed distance to the shape's edge.
        pixel: Size of a pixel in the same unit, broadcasting.

    Returns:
        Coverage in ``[0, 1]``.
    """
    return smoothstep(0.5 - distance / (EDGE_PX * pixel))


def ellipse(x: Tensor, y: Tensor, radius_x: Tensor | float, radius_y: Tensor | float) -> Tensor:
    """Return the first-order distance to an ellipse around the origin."""
    u, v = x / radius_x, y / radius_y
    level = (u * u + v * v + _EPS).sqrt()
    slope = ((u / radius_x) ** 2 + (v / radius_y) ** 2 + _EPS).sqrt()
    return level * (level - 1.0) / slope


def rounded_box(
    x: Tensor, y: Tensor, half_x: Tensor | float, half_y: Tensor | float, radius: float
) -> Tensor:
    """Return the distance to a box around the origin with rounded corners."""
    over_x = x.abs() - half_x + radius
    over_y = y.abs() - half_y + radius
    outside = (over_x.clamp(min=0.0) ** 2 + over_y.clamp(min=0.0) ** 2 + _EPS).sqrt()
    return outside + over_x.maximum(over_y).clamp(max=0.0) - radius


def stroke(
    along: Tensor, across: Tensor, half_length: Tensor | float, half_width: Tensor | float
) -> Tensor:
    """Return the distance to a round-ended stroke given along and across its axis."""
    beyond = (along.abs() - half_length).clamp(min=0.0)
    return (beyond * beyond + across * across + _EPS).sqrt() - half_width

"""The image a face is painted into, and the coordinates its shapes are placed in.

Axis legend: B faces, F frames, H W pixels. Pixels are placed in half-heights of the image,
x to the right and y down; the head and its features in head units, where the half-height of
the head is 1.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from .motion import FaceMotion

Face = TypeVar("Face")

HEAD_SCALE = 0.63
"""Half-height of a head, in half-heights of the image."""
HEAD_Y = -0.03
"""Middle of a head at rest, below the middle of the image."""


class Scene(NamedTuple, Generic[Face]):
    """An image being painted, and the coordinates shapes are placed in."""

    canvas: Tensor
    """``(B, F, 3, H, W)``."""
    face: Face
    """Scalars ``(B, 1, 1, 1)``, colours ``(B, 1, 3, 1, 1)``."""
    motion: FaceMotion
    """Fields ``(B, F, 1, 1)``, the mouth ``(6, B, F, 1, 1)``."""
    image_x: Tensor
    image_y: Tensor
    image_pixel: Tensor
    x: Tensor
    """Head units, ``(B, F, H, W)``."""
    y: Tensor
    feature_x: Tensor
    """Head units that slide with the turn of the head."""
    feature_y: Tensor
    pixel: Tensor
    """Pixel in head units, ``(B, F, 1, 1)``."""

    def paint(self, colour: Tensor | tuple[float, float, float], alpha: Tensor) -> Scene[Face]:
        """Blend ``colour`` over the image with ``alpha`` ``(B, F, H, W)``."""
        if isinstance(colour, tuple):
            colour = self.canvas.new_tensor(colour).view(3, 1, 1)
        canvas = self.canvas + alpha.unsqueeze(2) * (colour - self.canvas)
        return self._replace(canvas=canvas)


def spread(value: Tensor) -> Tensor:
    """Give a field of a face, ``(B,)`` or ``(B, 3)``, the axes of :attr:`Scene.face`."""
    return value.view(-1, 1, 3, 1, 1) if value.ndim == 2 else value.view(-1, 1, 1, 1)


def stage(face: Face, motion: FaceMotion, size_px: tuple[int, int]) -> Scene[Face]:
    """Return a black image and where the head is in it.

    Args:
        face: Fields as :func:`spread` gives them.
        motion: Movement, fields ``(B, F)`` and ``(B, F, 6)``.
        size_px: Height and width of the image.
    """
    height, width = size_px
    device = motion.x.device
    planes = [value[..., None, None] for value in motion[:-1]]
    move = FaceMotion(*[*planes, motion.mouth.movedim(-1, 0)[..., None, None]])
    pixel = torch.full((1, 1, 1, 1), 2.0 / height, device=device)
    image_x = ((torch.arange(width, device=device) + 0.5) * 2.0 - width).view(1, 1, 1, -1) / height
    image_y = ((torch.arange(height, device=device) + 0.5) * 2.0 - height).view(
        1, 1, -1, 1
    ) / height
    size = HEAD_SCALE * move.scale
    dx, dy = image_x - move.x, image_y - move.y - HEAD_Y
    # The head turns about the neck, so that a roll also carries it sideways.
    pivot = 0.9 * HEAD_SCALE
    cos, sin = move.roll.cos(), move.roll.sin()
    x = (cos * dx + sin * (dy - pivot)) / size
    y = (-sin * dx + cos * (dy - pivot) + pivot) / size
    canvas = torch.zeros(*motion.x.shape, 3, height, width, device=device)
    return Scene(
        canvas, face, move, image_x, image_y, pixel, x, y,
        x - 0.09 * move.turn, y - 0.06 * move.nod, pixel / size,
    )  # fmt: skip

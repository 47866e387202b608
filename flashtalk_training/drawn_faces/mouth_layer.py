"""The drawn mouth, which every style shares: it is what a track says, and what is measured."""

from __future__ import annotations

from typing import Protocol, TypeVar

import torch
from torch import Tensor

from . import sdf
from .scene import Scene

MOUTH_COLOUR = (0.46, 0.03, 0.08)
"""Inside of the mouth; nothing else in an image comes near it."""
_TONGUE = (0.72, 0.20, 0.24)
_TEETH = (0.97, 0.96, 0.93)


class FaceWithMouth(Protocol):
    """What a face says of its mouth; fields as in ``FaceIdentity``."""

    @property
    def lip(self) -> Tensor:
        """Colour of the lips."""

    @property
    def lip_thickness(self) -> Tensor:
        """About 1."""

    @property
    def mouth_width(self) -> Tensor:
        """About 1."""

    @property
    def mouth_y(self) -> Tensor:
        """Below the middle of the head, in head units."""


Face = TypeVar("Face", bound=FaceWithMouth)


def paint_mouth(scene: Scene[Face]) -> Scene[Face]:
    """Paint lips, and between them the dark inside with tongue and teeth."""
    face, move, pixel = scene.face, scene.motion, scene.pixel
    opening, width, rounded, closure, teeth, tongue = move.mouth
    half = (
        0.345
        * face.mouth_width
        * (1.0 + 0.24 * width - 0.40 * rounded + 0.14 * move.smile.clamp(min=0.0))
    )
    x = scene.feature_x
    bend = 0.11 * move.smile * (1.0 - 0.5 * rounded)
    y = scene.feature_y - face.mouth_y + bend * (((x / half) ** 2).clamp(max=1.6) - 0.4)
    height = 0.42 * opening
    up, down = 0.30 * height, 0.70 * height
    plump = face.lip_thickness * (1.0 - 0.55 * closure + 0.30 * rounded)
    upper = y < 0
    outer = sdf.ellipse(
        x, y, half + 0.02, torch.where(upper, up + 0.055 * plump, down + 0.075 * plump)
    )
    scene = scene.paint(face.lip, sdf.cover(outer, pixel))
    seam = sdf.stroke(x, y, half * 0.92, 0.012)
    scene = scene.paint(face.lip * 0.62, 0.9 * sdf.cover(seam, pixel))
    inner = sdf.ellipse(x, y, half * 0.90, torch.where(upper, up, down) + 0.004)
    # A gap thinner than a pixel covers it in proportion to its height.
    gap = sdf.cover(inner, pixel) * (height / (1.2 * pixel)).clamp(max=1.0)
    scene = scene.paint(MOUTH_COLOUR, gap)
    lump = sdf.ellipse(x, y - down * 1.02, half * 0.62, 0.45 * down + 0.004)
    scene = scene.paint(_TONGUE, gap * tongue * sdf.cover(lump, pixel))
    row = sdf.cover(y + up - (0.22 * height).clamp(max=0.075), pixel) * sdf.cover(
        x.abs() - half * 0.72, pixel
    )
    return scene.paint(_TEETH, gap * teeth * row)

"""Outline of an older head, and the lines that are drawn in it."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import sdf
from ..scene import Scene
from .appearance import OlderFace

OlderScene = Scene[OlderFace]

_SHADOW = (0.58, 0.60, 0.72)
"""What colours are multiplied by where no light comes: bluish."""
_TERMINATOR = 0.20
"""Width of the border between light and shadow."""


def head_distance(scene: OlderScene, grow: Tensor | float = 0.0) -> Tensor:
    """Return the distance to the head, whose jaw drops as the mouth opens."""
    face = scene.face
    below = scene.y.clamp(0.0, 1.4)
    hanging = face.jowl * sdf.smoothstep(1.0 - (scene.y - 0.58).abs() / 0.42)
    narrowed = 1.0 - face.jaw * below * below + hanging
    return sdf.ellipse(scene.x / narrowed, scene.y / _stretch(scene), face.width + grow, 1.0 + grow)


def chin_distance(scene: OlderScene) -> Tensor:
    """Return the distance to the fold above a double chin."""
    width = 0.45 * scene.face.width
    return sdf.ellipse(scene.x, scene.y / _stretch(scene) - 0.56, width, 0.36)


def _stretch(scene: OlderScene) -> Tensor:
    return 1.0 + 0.10 * scene.motion.mouth[0] * sdf.smoothstep(scene.y + 0.2)


def crease(
    along: Tensor, across: Tensor, half_length: Tensor | float, half_width: float = 0.013
) -> Tensor:
    """Return the distance to a line that thins out towards its ends."""
    left = 1.0 - (along / half_length) ** 2
    return across.abs() - half_width * left.clamp(-40.0, 1.0)


def ear_distance(scene: OlderScene) -> Tensor:
    """Return the distance to the ears."""
    face = scene.face
    return sdf.ellipse(scene.x.abs() - face.width, scene.y - 0.08, 0.12, face.ear)


def head_outline(scene: OlderScene) -> Tensor:
    """Return the coverage of head and ears with their outlines."""
    either = torch.minimum(head_distance(scene), ear_distance(scene))
    return sdf.cover(either - 0.011, scene.pixel)


def darkness(scene: OlderScene) -> Tensor:
    """Return how much of the light is missing, ``(B, F, H, W)`` in ``[0, 1]``."""
    face = scene.face
    away = -face.light_side * scene.x - 0.12 + 0.10 * torch.sin(2.2 * scene.y + 0.6)
    return face.light * sdf.smoothstep(0.5 + away / _TERMINATOR)


def shadow_tint(scene: OlderScene) -> Tensor:
    """Return what colours are multiplied by in full shadow, ``(3, 1, 1)``."""
    return scene.canvas.new_tensor(_SHADOW).view(3, 1, 1)

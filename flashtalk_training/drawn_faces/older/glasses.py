"""Glasses of older faces."""

from __future__ import annotations

import torch

from .. import sdf
from .head import OlderScene

_LENS = (0.86, 0.92, 0.96)


def paint_glasses(scene: OlderScene) -> OlderScene:
    """Paint round wire rims with pale lenses, or half ones low on the nose."""
    face, pixel = scene.face, scene.pixel
    x = scene.feature_x.abs() - face.eye_spacing
    y = scene.feature_y - face.eye_y - 0.01 - 0.06 * face.glasses_half
    lens = sdf.ellipse(x, y, face.glasses_size, face.glasses_size * (1.0 - 0.2 * face.glasses_half))
    lens = torch.maximum(lens, torch.where(face.glasses_half > 0, -0.01 - y, -1.0))
    scene = scene.paint(_LENS, 0.16 * face.glasses * sdf.cover(lens, pixel))
    bridge = scene.feature_x.abs() - (face.eye_spacing - face.glasses_size)
    over = sdf.stroke(bridge.clamp(min=0.0), y + 0.02, 0.01, 0.014)
    hinge, ear = face.eye_spacing + face.glasses_size, face.width * 0.98
    half = ((ear - hinge) / 2).clamp(min=0.0)
    arms = sdf.stroke(scene.feature_x.abs() - hinge - half, y + 0.02, half, 0.014)
    wire = torch.minimum(torch.minimum(lens.abs() - 0.015, over), arms)
    return scene.paint(face.glasses_colour, face.glasses * sdf.cover(wire, pixel))

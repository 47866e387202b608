"""Renderer of older faces: ink outlines, wrinkles, light from one side.

Axes and units are those of ``drawn_faces.scene``. Only the mouth is drawn as elsewhere, because
it is what a track says and what is measured.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .. import sdf
from ..motion import FaceMotion
from ..mouth_layer import paint_mouth
from ..scene import HEAD_SCALE, spread, stage
from .appearance import OlderFace
from .features import paint_brows, paint_eyes, paint_nose, paint_wrinkles
from .glasses import paint_glasses
from .hair import hair_coverage, paint_beard, paint_hair_behind, paint_hair_front
from .head import (
    OlderScene,
    chin_distance,
    darkness,
    ear_distance,
    head_distance,
    head_outline,
    shadow_tint,
)

_INK = 0.55
"""Brightness of outlines, as a share of what they go around."""
_BODY_SHADOW = 0.6
"""How dark the body's dark side is, as a share of the head's."""
_LAYERS = (
    paint_wrinkles, paint_nose, paint_eyes, paint_brows, paint_beard, paint_mouth, paint_hair_front,
)  # fmt: skip


def render_older(
    face: OlderFace, motion: FaceMotion, size_px: tuple[int, int] = (128, 128)
) -> Tensor:
    """Draw every frame of every face; see ``drawn_faces.faces.render``."""
    scene = stage(OlderFace(*map(spread, face)), motion, size_px)
    for layer in (_backdrop, paint_hair_behind, _body, _head, *_LAYERS, _light, paint_glasses):
        scene = layer(scene)
    return scene.canvas.clamp(0.0, 1.0)


def _backdrop(scene: OlderScene) -> OlderScene:
    """Paint a wall with panelling and a picture on it."""
    face, pixel = scene.face, scene.image_pixel
    x, y = scene.image_x + 0.0 * scene.image_y, scene.image_y + 0.0 * scene.image_x
    scene = scene._replace(canvas=scene.canvas + face.wall)
    frame = sdf.rounded_box(x - face.picture_x, y + 0.62, 0.34, 0.24, 0.01)
    scene = scene.paint(face.wall * 0.62, sdf.cover(frame, pixel))
    scene = scene.paint(face.shirt, sdf.cover(frame + 0.05, pixel))
    panel = sdf.cover(face.panel_y - y, pixel)
    scene = scene.paint(face.wall * 0.80, panel)
    groove = sdf.cover(((x * 3.0 + 0.5) % 1.0 - 0.5).abs() / 3.0 - 0.012, pixel)
    return scene.paint(face.wall * 0.70, panel * groove)


def _body(scene: OlderScene) -> OlderScene:
    """Paint neck, jacket, shirt and tie."""
    face, move, pixel = scene.face, scene.motion, scene.image_pixel
    x = scene.image_x - 0.30 * move.x
    y = scene.image_y - 0.20 * move.y
    top = 0.62
    lean = x - 0.7 * move.x * (top - y).clamp(0.0, 0.5)
    neck = sdf.rounded_box(lean, y - 0.55, 0.42 * face.width * HEAD_SCALE + 0.04, 0.5, 0.05)
    scene = scene.paint(face.skin * 0.80, sdf.cover(neck, pixel))
    shoulders = sdf.ellipse(x, y - top - 0.66, face.shoulder_width, 0.66)
    scene = scene.paint(face.clothes, sdf.cover(shoulders, pixel))
    scene = scene.paint(face.clothes * _INK, sdf.cover(shoulders.abs() - 0.008, pixel))
    deep = torch.maximum(x.abs() - 0.30 + 0.55 * (y - top), shoulders)
    scene = scene.paint(face.shirt, sdf.cover(deep, pixel))
    scene = scene.paint(face.clothes * 0.75, sdf.cover(deep.abs() - 0.014, pixel))
    knot = x.abs() - 0.035 - 0.10 * (y - top - 0.10).clamp(min=0.0)
    tie = torch.maximum(knot, top + 0.08 - y)
    scene = scene.paint(face.tie_colour, face.tie * sdf.cover(tie, pixel))
    body = sdf.cover(torch.minimum(neck, shoulders - 0.008), pixel)
    return scene.paint(scene.canvas * shadow_tint(scene), _BODY_SHADOW * body * darkness(scene))


def _head(scene: OlderScene) -> OlderScene:
    """Paint ears and head, outlined."""
    face, pixel = scene.face, scene.pixel
    ears = ear_distance(scene)
    scene = scene.paint(face.skin * 0.93, sdf.cover(ears, pixel))
    scene = scene.paint(face.skin * _INK, sdf.cover(ears.abs() - 0.011, pixel))
    inner = sdf.ellipse(scene.x.abs() - face.width * 1.02, scene.y - 0.08, 0.06, 0.6 * face.ear)
    scene = scene.paint(face.skin * 0.78, sdf.cover(inner, pixel))
    head = head_distance(scene)
    scene = scene.paint(face.skin, sdf.cover(head, pixel))
    scene = scene.paint(face.skin * _INK, sdf.cover(head.abs() - 0.011, pixel))
    fold = (chin_distance(scene)).abs() - 0.010
    under = sdf.smoothstep((scene.y - 0.80) / 0.08) * (head < 0)
    return scene.paint(face.skin * 0.72, face.wrinkle * under * sdf.cover(fold, pixel))


def _light(scene: OlderScene) -> OlderScene:
    """Darken head, hair and beard on the side away from the light."""
    parts = (head_outline(scene), *hair_coverage(scene))
    mask = torch.stack(torch.broadcast_tensors(*parts)).amax(dim=0)
    return scene.paint(scene.canvas * shadow_tint(scene), mask * darkness(scene))

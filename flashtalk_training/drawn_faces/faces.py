"""Renderer of drawn talking faces by signed distances: batched, anti-aliased, any device.

Axis legend: B faces, F frames, H W pixels. Pixels are placed in half-heights of the image,
x to the right and y down; the head and its features in head units, where the half-height of
the head is 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import sdf
from .appearance import FaceIdentity, sample_identity
from .motion import FaceMotion, rest_motion, sample_motion
from .mouth_layer import MOUTH_COLOUR, paint_mouth
from .scene import HEAD_SCALE, Scene, spread, stage

__all__ = [
    "MOUTH_COLOUR",
    "FaceIdentity",
    "FaceMotion",
    "render",
    "rest_motion",
    "sample_identity",
    "sample_motion",
]

_EYE_WHITE = (0.97, 0.97, 0.96)

_Scene = Scene[FaceIdentity]


def render(
    identity: FaceIdentity, motion: FaceMotion, size_px: tuple[int, int] = (128, 128)
) -> Tensor:
    """Draw every frame of every face.

    Args:
        identity: Faces, fields ``(B,)`` and ``(B, 3)``.
        motion: Movement on the same device, fields ``(B, F)`` and ``(B, F, 6)``.
        size_px: Height and width of the image.

    Returns:
        Images, ``(B, F, 3, H, W)`` float32 in ``[0, 1]``.
    """
    scene = stage(FaceIdentity(*map(spread, identity)), motion, size_px)
    for layer in (_backdrop, _hair_behind, _body, _head, _nose, _eyes, _brows, _beard, paint_mouth):
        scene = layer(scene)
    for layer in (_hair_front, _glasses):
        scene = layer(scene)
    return scene.canvas.clamp(0.0, 1.0)


def _backdrop(scene: _Scene) -> _Scene:
    face = scene.face
    along = face.backdrop_angle.cos() * scene.image_x + face.backdrop_angle.sin() * scene.image_y
    blend = sdf.smoothstep(0.5 + 0.4 * along).unsqueeze(2)
    scene = scene._replace(
        canvas=scene.canvas + torch.lerp(face.backdrop_a, face.backdrop_b, blend)
    )
    spot = sdf.ellipse(
        scene.image_x - face.spot_x, scene.image_y - face.spot_y, face.spot_radius, face.spot_radius
    )
    return scene.paint(face.spot, 0.8 * sdf.smoothstep(0.5 - spot / 0.35))


def _hair_behind(scene: _Scene) -> _Scene:
    face, x, y = scene.face, scene.x, scene.y
    half = face.width + 0.10 + 0.5 * face.hair_volume
    length = 0.55 + 0.75 * face.hair_long
    long = sdf.rounded_box(x, y - 0.35, half + 0.06 * y.clamp(0, 1), length, 0.45)
    scene = scene.paint(
        face.hair * 0.82, sdf.cover(long, scene.pixel) * sdf.smoothstep(4.0 * face.hair_long)
    )
    bun = sdf.ellipse(x - 0.15 * face.hair_part, y + 1.12, 0.30, 0.26)
    return scene.paint(face.hair * 0.9, sdf.cover(bun, scene.pixel) * face.hair_bun)


def _body(scene: _Scene) -> _Scene:
    face, move, pixel = scene.face, scene.motion, scene.image_pixel
    x = scene.image_x - 0.30 * move.x
    y = scene.image_y - 0.20 * move.y
    top = 0.66
    lean = (scene.image_x - 0.30 * move.x) - 0.7 * move.x * (top - y).clamp(0.0, 0.5)
    neck_half = face.neck_width * HEAD_SCALE + 0.05 * (y - 0.5).clamp(min=0.0)
    neck = sdf.cover(sdf.rounded_box(lean, y - 0.55, neck_half, 0.5, 0.05), pixel)
    shoulders = sdf.ellipse(x, y - top - 0.62, face.shoulder_width, 0.60)
    opening = sdf.ellipse(x, y - top - 0.05, face.neck_width * 0.68, 0.08 + face.collar_depth)
    scene = scene.paint(face.skin * 0.86, neck)
    cloth = (1.0 - 0.10 * (x * face.light_x).unsqueeze(2)) * face.clothes
    scene = scene.paint(cloth, sdf.cover(shoulders, pixel))
    scene = scene.paint(face.trim, sdf.cover(torch.maximum(shoulders, opening - 0.045), pixel))
    return scene.paint(face.skin * 0.86, sdf.cover(torch.maximum(opening, shoulders - 0.04), pixel))


def _head_distance(scene: _Scene, grow: Tensor | float = 0.0) -> Tensor:
    face = scene.face
    below = scene.y.clamp(0.0, 1.4)
    narrowed = 1.0 - face.jaw * below * below
    stretch = 1.0 + 0.10 * scene.motion.mouth[0] * sdf.smoothstep(scene.y + 0.2)
    return sdf.ellipse(scene.x / narrowed, scene.y / stretch, face.width + grow, 1.0 + grow)


def _head(scene: _Scene) -> _Scene:
    face = scene.face
    shade = 1.0 - 0.10 * (scene.x * face.light_x + scene.y * face.light_y * -0.6)
    skin = face.skin * shade.unsqueeze(2)
    ears = sdf.ellipse(scene.x.abs() - face.width * 0.99, scene.y - 0.06, 0.12, 0.19)
    scene = scene.paint(face.skin * 0.92, sdf.cover(ears, scene.pixel))
    head = _head_distance(scene)
    scene = scene.paint(skin, sdf.cover(head, scene.pixel))
    inside = sdf.cover(head, scene.pixel)
    cheeks = sdf.ellipse(scene.feature_x.abs() - 0.42, scene.feature_y - 0.26, 0.20, 0.15)
    blush = face.skin.new_tensor((0.95, 0.55, 0.50)).view(3, 1, 1)
    return scene.paint(blush, face.blush * inside * sdf.smoothstep(0.5 - cheeks / 0.22))


def _nose(scene: _Scene) -> _Scene:
    face, x, y = scene.face, scene.feature_x, scene.feature_y
    side = torch.tanh(3.0 * face.light_x)
    bridge = sdf.stroke(
        y - face.nose_y + 0.14, x - 0.4 * side * face.nose_width * (y + 0.4), 0.15, 0.018
    )
    scene = scene.paint(face.skin * 0.84, 0.6 * sdf.cover(bridge, scene.pixel))
    tip = sdf.ellipse(x, y - face.nose_y, face.nose_width, 0.055)
    scene = scene.paint(face.skin * 0.80, 0.85 * sdf.cover(tip, scene.pixel))
    ball = sdf.ellipse(x, y - face.nose_y + 0.028, face.nose_width * 0.92, 0.055)
    return scene.paint(face.skin * 0.98, sdf.cover(ball, scene.pixel))


def _eyes(scene: _Scene) -> _Scene:
    face, move, pixel = scene.face, scene.motion, scene.pixel
    side = torch.where(scene.feature_x < 0, -1.0, 1.0)
    x = scene.feature_x.abs() - face.eye_spacing
    y = scene.feature_y - face.eye_y
    # The upper lid comes down onto the lower one, which stays.
    lift = face.eye_height * (1.0 - move.blink)
    half = (lift + 0.012).clamp(min=0.012)
    middle = face.eye_height - lift
    drop = y - 0.7 * middle
    lens = sdf.ellipse(x, drop, face.eye_width, half)
    gap = sdf.cover(lens, pixel) * sdf.smoothstep((1.0 - move.blink) * 3.0)
    scene = scene.paint(_EYE_WHITE, gap)
    iris_x = x - side * 0.05 * (move.gaze_x + 0.5 * move.turn)
    iris_y = y + 0.012 - 0.025 * move.gaze_y
    iris = sdf.ellipse(iris_x, iris_y, 0.095, 0.095)
    scene = scene.paint(face.iris, gap * sdf.cover(iris, pixel))
    scene = scene.paint((0.06, 0.05, 0.06), gap * sdf.cover(iris + 0.044, pixel))
    glint = sdf.ellipse(iris_x + side * 0.03, iris_y + 0.03, 0.024, 0.024)
    scene = scene.paint((1.0, 1.0, 1.0), gap * sdf.cover(glint, pixel))
    lid = -half * (1.0 - (x / face.eye_width) ** 2).clamp(min=0.0) ** 0.5
    droop = 0.05 * move.blink * (1.0 - (x / face.eye_width) ** 2)
    lash = sdf.stroke(x, drop - lid - droop, face.eye_width * 0.95, 0.017)
    return scene.paint((0.14, 0.10, 0.10), 0.9 * sdf.cover(lash, pixel))


def _brows(scene: _Scene) -> _Scene:
    face, move = scene.face, scene.motion
    x = scene.feature_x.abs() - face.eye_spacing - 0.01
    y = scene.feature_y - face.eye_y + face.brow_height + 0.06 * move.brow
    frown = face.brow_tilt + 0.25 * (-move.brow).clamp(min=0.0)
    arch = -0.5 * frown * x + 1.3 * x * x
    brow = sdf.stroke(x, y - arch, face.eye_width * 1.02, face.brow_thickness)
    colour = torch.minimum(face.hair * 0.75, face.skin * 0.6)
    return scene.paint(colour, 0.92 * sdf.cover(brow, scene.pixel))


def _beard(scene: _Scene) -> _Scene:
    face = scene.face
    head = sdf.cover(_head_distance(scene), scene.pixel)
    cheek = sdf.ellipse(scene.feature_x, scene.feature_y - 0.02, face.width * 0.86, 0.40)
    soft = sdf.smoothstep(0.5 + cheek / 0.08) * sdf.smoothstep((scene.y - 0.12) / 0.25)
    colour = torch.lerp(face.skin, face.hair * 0.9, 0.85)
    return scene.paint(colour, face.beard * head * soft)


def _hair_front(scene: _Scene) -> _Scene:
    face, x, y = scene.face, scene.x, scene.y
    wave = 0.03 * face.hair_curl * (torch.sin(9.0 * x + 1.0) * torch.sin(9.0 * y))
    grown = sdf.ellipse(x, y + 0.04, face.width + 0.05 + face.hair_volume, 1.04 + face.hair_volume)
    shift = scene.feature_x - 0.16 * face.hair_part * (1.0 - face.hair_fringe)
    line = -0.70 + 0.34 * face.hair_fringe
    reach = 0.26 + face.hair_long * 0.8
    window = sdf.ellipse(
        shift, scene.feature_y - line - 0.95, face.width * (0.93 - 0.05 * face.hair_long), 0.95
    )
    sides = y - reach + 0.25 - 0.3 * (face.width - x.abs())
    hair = torch.maximum(torch.maximum(grown + wave, -window), sides)
    shade = 1.0 + 0.14 * sdf.smoothstep(0.3 - 1.4 * (y + 0.45) + 0.8 * x * face.light_x)
    return scene.paint(face.hair * shade.unsqueeze(2), face.hair_cap * sdf.cover(hair, scene.pixel))


def _glasses(scene: _Scene) -> _Scene:
    face, pixel = scene.face, scene.pixel
    x = scene.feature_x.abs() - face.eye_spacing
    y = scene.feature_y - face.eye_y - 0.01
    rim = (sdf.rounded_box(x, y, face.eye_width + 0.09, 0.19, 0.13)).abs() - 0.016
    bridge = sdf.stroke(scene.feature_x, y + 0.04, face.eye_spacing - face.eye_width - 0.09, 0.014)
    arms = sdf.stroke(scene.x.abs() - face.width * 0.88, y + 0.03, 0.10, 0.014)
    frame = torch.minimum(torch.minimum(rim, bridge), arms)
    return scene.paint((0.16, 0.17, 0.20), face.glasses * sdf.cover(frame, pixel))

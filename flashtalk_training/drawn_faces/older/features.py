"""Eyes, brows, nose and wrinkles of older faces."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import sdf
from .head import OlderScene, crease

_EYE_WHITE = (0.93, 0.92, 0.88)
_LASH = (0.22, 0.18, 0.17)


def paint_wrinkles(scene: OlderScene) -> OlderScene:
    """Paint the lines of forehead, brows, cheeks and mouth."""
    face, move, pixel = scene.face, scene.motion, scene.pixel
    x, y = scene.feature_x, scene.feature_y
    lines = [_forehead(scene), _cheeks(scene), _crow_feet(scene)]
    frown = crease(y - face.eye_y + 0.16, x.abs() - 0.055, 0.10)
    lines.append(frown + 0.02 * move.brow)
    corner = 0.37 * face.mouth_width
    down = crease(y - face.mouth_y - 0.13, x.abs() - corner - 0.1 * (y - face.mouth_y), 0.09)
    lines.append(down)
    ink = torch.stack(torch.broadcast_tensors(*lines)).amin(dim=0)
    return scene.paint(face.skin * 0.66, face.wrinkle * sdf.cover(ink, pixel))


def _forehead(scene: OlderScene) -> Tensor:
    """Return the distance to three lines that rise with the brows."""
    x, base = scene.feature_x, scene.face.eye_y - 0.36 - 0.04 * scene.motion.brow
    rows = [
        crease(x, scene.feature_y - base + 0.105 * row - 0.10 * x * x, 0.42 - 0.06 * row, 0.011)
        for row in range(3)
    ]
    return torch.minimum(torch.minimum(rows[0], rows[1]), rows[2])


def _cheeks(scene: OlderScene) -> Tensor:
    """Return the distance to the folds from the nose to beside the mouth."""
    face = scene.face
    top, bottom = face.nose_y - 0.02, face.mouth_y + 0.02
    middle, half = (top + bottom) / 2, (bottom - top) / 2 + 0.03
    along = scene.feature_y - middle
    start, end = face.nose_width + 0.05, 0.42 * face.mouth_width
    bow = start + (end - start) * (0.5 + 0.5 * along / half) + 0.05 * (1 - (along / half) ** 2)
    return crease(along, scene.feature_x.abs() - bow - 0.02 * scene.motion.smile, half, 0.016)


def _crow_feet(scene: OlderScene) -> Tensor:
    """Return the distance to two lines outside each eye."""
    face = scene.face
    x = scene.feature_x.abs() - face.eye_spacing - face.eye_width - 0.075
    y = scene.feature_y - face.eye_y
    return torch.minimum(
        crease(x, y - 0.045 - 0.55 * x, 0.06, 0.011), crease(x, y + 0.015 + 0.35 * x, 0.06, 0.011)
    )


def paint_nose(scene: OlderScene) -> OlderScene:
    """Paint a large nose with wings, its side away from the light in shade."""
    face, pixel = scene.face, scene.pixel
    x, y = scene.feature_x, scene.feature_y - face.nose_y
    wings = sdf.ellipse(x.abs() - face.nose_width * 0.78, y, 0.062, 0.055)
    scene = scene.paint(face.skin * 0.60, sdf.cover(wings - 0.014, pixel))
    scene = scene.paint(face.skin * 0.90, sdf.cover(wings, pixel))
    tip = sdf.ellipse(x, y + 0.01, face.nose_width * 0.72, 0.085)
    scene = scene.paint(face.skin * 0.60, sdf.cover(tip - 0.012, pixel) * sdf.smoothstep(y / 0.05))
    scene = scene.paint(face.skin * 0.97, sdf.cover(tip, pixel))
    away = x + face.light_side * (0.05 + 0.10 * (y + 0.35).clamp(min=0.0))
    bridge = sdf.stroke(y + 0.18, away, 0.15, 0.020)
    return scene.paint(face.skin * 0.70, 0.8 * sdf.cover(bridge, pixel))


def paint_eyes(scene: OlderScene) -> OlderScene:
    """Paint small eyes under heavy lids, which come down in a blink, and the bags under them."""
    face, move, pixel = scene.face, scene.motion, scene.pixel
    side = torch.where(scene.feature_x < 0, -1.0, 1.0)
    x = scene.feature_x.abs() - face.eye_spacing
    y = scene.feature_y - face.eye_y - face.eye_droop * x * x.sign() * x.abs()
    bag = sdf.ellipse(x, y - 0.03, face.eye_width * 1.05, 0.115).abs() - 0.010
    low = sdf.smoothstep((y - 0.05) / 0.06)
    scene = scene.paint(face.skin * 0.72, face.bags * low * sdf.cover(bag, pixel))
    socket = sdf.ellipse(x, y + 0.03, face.eye_width * 1.15, face.eye_height + 0.05)
    scene = scene.paint(face.skin * 0.86, sdf.cover(socket, pixel))
    lift = face.eye_height * (1.0 - move.blink)
    drop = y - 0.7 * (face.eye_height - lift)
    half = (lift + 0.010).clamp(min=0.010)
    lens = sdf.ellipse(x, drop, face.eye_width, half)
    gap = sdf.cover(lens, pixel) * sdf.smoothstep((1.0 - move.blink) * 3.0)
    scene = scene.paint(_EYE_WHITE, gap)
    iris_x = x - side * 0.045 * (move.gaze_x + 0.5 * move.turn)
    iris = sdf.ellipse(iris_x, y + 0.010 - 0.02 * move.gaze_y, 0.075, 0.075)
    scene = scene.paint(face.iris, gap * sdf.cover(iris, pixel))
    scene = scene.paint((0.05, 0.05, 0.05), gap * sdf.cover(iris + 0.038, pixel))
    edge = half * (1.0 - (x / face.eye_width) ** 2).clamp(min=0.0) ** 0.5
    lash = sdf.stroke(x, drop + edge, face.eye_width, 0.020)
    scene = scene.paint(_LASH, 0.95 * sdf.cover(lash, pixel))
    lower = sdf.stroke(x, drop - edge, face.eye_width * 0.9, 0.010)
    return scene.paint(face.skin * 0.55, 0.8 * sdf.cover(lower, pixel))


def paint_brows(scene: OlderScene) -> OlderScene:
    """Paint bushy brows."""
    face, move = scene.face, scene.motion
    x = scene.feature_x.abs() - face.eye_spacing - 0.01
    y = scene.feature_y - face.eye_y + face.brow_height + 0.06 * move.brow
    arch = (0.10 - 0.12 * move.brow.clamp(max=0.0)) * -x + 1.6 * x * x
    tufts = 0.010 * torch.sin(60.0 * x)
    brow = sdf.stroke(x, y - arch, face.eye_width * 1.15, face.brow_thickness) + tufts
    return scene.paint(face.hair * 0.82, 0.95 * sdf.cover(brow, scene.pixel))

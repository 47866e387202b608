"""Hair, beards and caps of older faces."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import sdf
from .head import OlderScene, darkness, head_distance, shadow_tint

_EDGE = 0.58
"""Brightness of outlines, as a share of the hair's."""
_ALL_CURLS = 0.9
"""Curls from which on hair stands around the head."""


def _ripple(scene: OlderScene) -> Tensor:
    """Return the waves of an outline of curls, ``(B, F, H, W)`` head units."""
    angle = torch.atan2(scene.x, -scene.y)
    return 0.045 * scene.face.hair_curl * torch.cos(15.0 * angle)


def _strands(scene: OlderScene, along: Tensor) -> Tensor:
    """Return hair colours ``(B, F, 3, H, W)`` with darker strands."""
    shade = 0.93 + 0.07 * torch.sin(along)
    return scene.face.hair * shade.unsqueeze(2)


def paint_hair_behind(scene: OlderScene) -> OlderScene:
    """Paint what is behind the head: long hair, a bun, curls, the hair at the sides."""
    face, x, y = scene.face, scene.x, scene.y
    half = face.width + 0.10 + face.hair_volume
    long = sdf.rounded_box(x, y - 0.45, half + 0.05 * torch.sin(5.0 * y), 0.95, 0.35)
    bun = sdf.ellipse(x, y + 1.16, 0.34, 0.25)
    cloud = sdf.ellipse(x, y + 0.18, face.width + 0.26, 1.05) + _ripple(scene)
    sides = sdf.ellipse(x.abs() - face.width, y + 0.14, 0.17, 0.36) + 0.6 * _ripple(scene)
    dark = darkness(scene).unsqueeze(2)
    light = 1.0 - dark + dark * shadow_tint(scene)
    for outline, alpha in (
        (long, face.hair_long), (bun, face.hair_bun),
        (cloud, (face.hair_curl > _ALL_CURLS).float()), (sides, face.hair_sides),
    ):  # fmt: skip
        edge = alpha * sdf.cover(outline - 0.012, scene.pixel)
        scene = scene.paint(face.hair * _EDGE * light, edge)
        scene = scene.paint(face.hair * 0.86 * light, alpha * sdf.cover(outline, scene.pixel))
    return scene


def paint_hair_front(scene: OlderScene) -> OlderScene:
    """Paint the hair above the forehead, curtains of long hair, and a cap."""
    face, x, y, pixel = scene.face, scene.x, scene.y, scene.pixel
    swept, curtain = _swept(scene), _curtain(scene)
    top = face.hair_top * (1.0 - face.hair_long)
    for outline, alpha, along in (
        (swept, top, 26.0 * x + 5.0 * y), (curtain, face.hair_long, 24.0 * x),
    ):  # fmt: skip
        scene = scene.paint(face.hair * _EDGE, alpha * sdf.cover(outline - 0.012, pixel))
        scene = scene.paint(_strands(scene, along), alpha * sdf.cover(outline, pixel))
    scene = scene.paint(face.clothes * 0.95, face.hair_cap * sdf.cover(_crown(scene), pixel))
    return scene.paint(face.clothes * 0.62, face.hair_cap * sdf.cover(_brim(scene), pixel))


def paint_beard(scene: OlderScene) -> OlderScene:
    """Paint a beard, which hangs below the chin, and a moustache, both with strands."""
    face, x, pixel = scene.face, scene.feature_x, scene.pixel
    for outline, alpha, along in (
        (_beard(scene), face.beard, 38.0 * x + 9.0 * scene.feature_y),
        (_moustache(scene), face.moustache, 46.0 * x),
    ):
        scene = scene.paint(face.hair * _EDGE, alpha * sdf.cover(outline - 0.016, pixel))
        scene = scene.paint(_strands(scene, along), alpha * sdf.cover(outline, pixel))
    return scene


def hair_coverage(scene: OlderScene) -> list[Tensor]:
    """Return what hair in front, cap and beard cover, ``(B, F, H, W)`` each."""
    face, pixel = scene.face, scene.pixel
    parts = (
        (_swept(scene), face.hair_top * (1.0 - face.hair_long)),
        (_curtain(scene), face.hair_long),
        (_crown(scene), face.hair_cap),
        (_brim(scene), face.hair_cap),
        (_beard(scene), face.beard),
    )
    return [alpha * sdf.cover(outline - 0.012, pixel) for outline, alpha in parts]


def _grown(scene: OlderScene) -> Tensor:
    """Return the distance to the head with its hair on."""
    width, volume = scene.face.width, scene.face.hair_volume
    head = sdf.ellipse(scene.x, scene.y + 0.03, width + 0.04 + volume, 1.03 + volume)
    return head + _ripple(scene)


def _swept(scene: OlderScene) -> Tensor:
    """Return the distance to hair swept back from a line with a peak in the middle."""
    x = scene.feature_x
    peak = 0.10 * (-((x / 0.22) ** 2)).exp()
    line = scene.feature_y + 0.66 + scene.face.hair_line - peak - 0.55 * x * x
    return torch.maximum(_grown(scene), line)


def _curtain(scene: OlderScene) -> Tensor:
    """Return the distance to long hair that falls from a parting to both sides."""
    drop = ((scene.y + 0.92) / 0.80).clamp(0.0, 1.0) ** 0.5
    inner = scene.face.width * (0.86 * drop - 0.02 + 0.05 * torch.sin(3.0 * scene.y))
    return torch.maximum(torch.maximum(_grown(scene), inner - scene.x.abs()), scene.y - 0.9)


def _crown(scene: OlderScene) -> Tensor:
    crown = sdf.ellipse(scene.x, scene.y + 0.74, scene.face.width + 0.17, 0.42)
    return torch.maximum(crown, scene.y + 0.56)


def _brim(scene: OlderScene) -> Tensor:
    x = scene.x
    return sdf.ellipse(x, scene.y + 0.56 - 0.10 * x * x, scene.face.width + 0.04, 0.075)


def _beard(scene: OlderScene) -> Tensor:
    """Return the distance to a beard: within the head above the chin, hanging below it."""
    face, x, y = scene.face, scene.feature_x, scene.feature_y
    hang = 0.10 * scene.motion.mouth[0]
    half = face.beard_width * face.width * 1.12
    low = sdf.ellipse(scene.x, scene.y - 0.50, half, 0.52 + hang + face.beard_length)
    within = torch.maximum(low, head_distance(scene, 0.03))
    cheek = face.mouth_y - 0.06 - 0.85 * x * x - y
    outline = torch.maximum(torch.where(scene.y < 0.72, within, low), cheek)
    return outline + 0.012 * torch.sin(34.0 * x)


def _moustache(scene: OlderScene) -> Tensor:
    x = scene.feature_x
    across = scene.feature_y - scene.face.mouth_y + 0.115 - 0.9 * x * x
    return sdf.ellipse(x, across, 0.34, 0.062) + 0.008 * torch.sin(46.0 * x)

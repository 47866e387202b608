"""Where two speakers are in their image: masks from files, halves and boxes, at the video's size.

Axis legend: H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..config.avatar import FitMode
from ..errors import InvalidInputError, require
from ..excerpt import excerpt
from ..files.paths import is_missing
from .image.portrait import fit_image, open_mask
from .places import BOX, HALVES, is_place

_FACE_MARGIN = 0.5
"""Of a face's side, around it: hair, neck, and where the head moves."""
Box = tuple[int, int, int, int]
"""Left, top, width and height, pixels."""
_MARGIN = 0.05
"""Of a half, at each of its sides, that is left to the background.

Source: the ``face_scale`` of MeiGen-AI/MultiTalk, whose code the authors' two speakers come from.
"""
_WHITE = 127
_INSIDE = 160
"""Above this a scaled mask counts; the grey that pads an image does not."""


def read_mask(place: str, image: Image.Image, who: str) -> Image.Image:
    """Return the mask of a speaker, ``L``, white where they are.

    Args:
        place: ``left``, ``right``, a box ``X,Y,WIDTH,HEIGHT`` in pixels of ``image``, or the path
            of an image as large, white where the speaker is.
        image: The portrait.
        who: Begins a message.

    Raises:
        InvalidInputError: If there is no such file, its size is another, or the mask is empty.
    """
    if is_place(place):
        mask = Image.new("L", image.size)
        mask.paste(255, _box_of(place, image.size, who))
    else:
        mask = _open_mask(place, f"{who}'s mask {excerpt(place)!r}")
    return check_mask(mask, image, f"{who}'s mask {excerpt(place)!r}")


def _open_mask(path: str, what: str) -> Image.Image:
    require(
        not is_missing(Path(path)),
        f"{what}: no such file; use left, right, face, a box X,Y,WIDTH,HEIGHT or an image, and a "
        "colon before their audio",
        subject="speakers",
    )
    return open_mask(path)


def face_places(faces: Sequence[Box], size: tuple[int, int]) -> tuple[str, str]:
    """Return the boxes of two speakers around their faces, which keep apart.

    Args:
        faces: Found in the image, from left to right.
        size: Width and height of the image.

    Raises:
        InvalidInputError: If there are not two.
    """
    require(
        len(faces) == 2,
        f"speaker mask 'face': {len(faces)} face(s) were found, and two speak; use 'left', "
        "'right', boxes or images instead",
        subject="speakers",
    )
    border = round(sum(left + width / 2 for left, _, width, _ in faces) / 2)
    return (
        _around(faces[0], (0, border), size[1]),
        _around(faces[1], (border, size[0]), size[1]),
    )


def _around(face: Box, columns: tuple[int, int], height: int) -> str:
    """Return the place of a face with its margin, within some columns of the image."""
    left, top, across, down = face
    margin = round(_FACE_MARGIN * max(across, down))
    x0, x1 = max(columns[0], left - margin), min(columns[1], left + across + margin)
    y0, y1 = max(0, top - margin), min(height, top + down + margin)
    return f"{x0},{y0},{x1 - x0},{y1 - y0}"


def check_mask(mask: Image.Image, image: Image.Image, what: str) -> Image.Image:
    """Return a mask as black and white.

    Args:
        mask: ``L``.
        image: The portrait.
        what: Begins a message.

    Raises:
        InvalidInputError: If it is of another size than ``image``, or empty.
    """
    require(
        mask.size == image.size,
        f"{what}: {mask.width}x{mask.height} pixels, the portrait has "
        f"{image.width}x{image.height}; draw it on the portrait itself",
        subject="speakers",
    )
    return check_painted(mask, what)


def check_painted(mask: Image.Image, what: str) -> Image.Image:
    """Return a mask as black and white; raise :class:`InvalidInputError` if nothing is white."""
    white = mask.point(lambda value: 255 if value > _WHITE else 0)
    require(
        white.getbbox() is not None,
        f"{what}: 0 of {mask.width * mask.height} pixels are white; paint where the speaker is",
        subject="speakers",
    )
    return white


def check_apart(masks: Sequence[Image.Image]) -> None:
    """Raise :class:`InvalidInputError` if two masks have pixels in common."""
    one, other = (np.asarray(mask) > 0 for mask in masks)
    count = int((one & other).sum())
    require(
        not count,
        f"speaker masks: they overlap in {count} of {one.size} pixels, each belongs to one "
        "speaker at most; draw them apart",
        subject="speakers",
    )


def fit_masks(masks: Sequence[Image.Image], size_px: tuple[int, int], mode: FitMode) -> Tensor:
    """Bring masks to the size of the video as the portrait is.

    Args:
        masks: Of two speakers, from :func:`check_mask`.
        size_px: Height and width.
        mode: How the portrait is fitted.

    Returns:
        ``(3, H, W)`` float32 of 0 and 1: speaker 1, speaker 2, background; each pixel has one.
    """
    one, other = (fit_image(mask.convert("RGB"), size_px, mode)[0] > _INSIDE for mask in masks)
    other = other & ~one  # where scaling made neighbours touch
    return torch.stack([one, other, ~(one | other)]).float()


def _box_of(place: str, size: tuple[int, int], who: str) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom."""
    width, height = size
    if place in HALVES:
        half = width // 2
        left = half if place == "right" else 0
        across, down = round(_MARGIN * half), round(_MARGIN * height)
        return left + across, down, left + half - across, height - down
    found = BOX.fullmatch(place)
    assert found is not None, place
    left, top, across, down = map(int, found.groups())
    is_within = left >= 0 and left + across <= width and top >= 0 and top + down <= height
    if not (is_within and across > 0 and down > 0):
        raise InvalidInputError(
            f"{who}'s box {place}: it has to be within the {width}x{height} pixels of the "
            "portrait, as X,Y,WIDTH,HEIGHT with 1 or more of each",
            subject="speakers",
        )
    return left, top, left + across, top + down

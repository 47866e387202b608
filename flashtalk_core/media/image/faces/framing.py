"""The part of an image that has a face where portraits have it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageEnhance

from ....config.avatar import FramingConfig
from ....errors import require
from .detection import FaceBox

Corners = tuple[int, int, int, int]
"""Left, top, right and bottom; the last two are outside."""
NO_FACE = (
    "face crop: no face found that looks into the camera; crop the image by hand, and use fit "
    "'crop' ('cover' on the command line) or 'pad'"
)
_SHOWN_PX = 1024
_CHOSEN, _OTHER, _FRAME = (64, 224, 96), (240, 192, 64), (255, 255, 255)
_COARSE = 1.5
"""Enlarged by more than this, a part of an image looks soft."""


@dataclass(frozen=True, eq=False)
class FacePick:
    """A face of an image, and the frame around it."""

    image: Image.Image
    """The whole image."""
    faces: tuple[FaceBox, ...]
    """All that were found."""
    face: FaceBox
    """The one that is framed: the largest."""
    frame: Corners
    """Left, top, right and bottom, inside the image."""
    size_px: tuple[int, int]
    """Height and width that it is scaled to."""

    def __repr__(self) -> str:
        return f"FacePick({self.face}, frame {self.frame}, of {len(self.faces)} face(s))"

    def crop(self) -> Image.Image:
        """Return the part that is framed."""
        return self.image.crop(self.frame)

    def notes(self) -> list[str]:
        """Return what is unusual about it, a sentence each."""
        left, top, right, bottom = self.frame
        notes = []
        if len(self.faces) > 1:
            notes.append(
                f"face crop: {len(self.faces)} faces found, the largest is taken, at "
                f"x {self.face.left}, y {self.face.top}; crop the image by hand for another"
            )
        scale = self.size_px[1] / (right - left)
        if scale > _COARSE:
            notes.append(
                f"face crop: the part around the face has {right - left}x{bottom - top} pixels and "
                f"is enlarged {scale:.1f} times; use a larger image"
            )
        return notes

    def picture(self) -> Image.Image:
        """Return the image with the frame and the faces marked, at most 1024 pixels a side."""
        scale = min(1.0, _SHOWN_PX / max(self.image.size))
        size = max(1, round(scale * self.image.width)), max(1, round(scale * self.image.height))
        whole = self.image.convert("RGB").resize(size, Image.Resampling.BOX)
        shown = ImageEnhance.Brightness(whole).enhance(0.45)
        frame = _scaled(self.frame, scale)
        shown.paste(whole.crop(frame), frame[:2])
        draw, line = ImageDraw.Draw(shown), max(2, max(size) // 256)
        draw.rectangle(_drawable(frame, size), outline=_FRAME, width=line)
        for face in self.faces:
            colour = _CHOSEN if face == self.face else _OTHER
            corners = face.left, face.top, face.left + face.width, face.top + face.height
            box = _drawable(_scaled(corners, scale), size)
            draw.rectangle(box, outline=colour, width=line)
        return shown


def pick_face(
    image: Image.Image,
    faces: tuple[FaceBox, ...],
    size_px: tuple[int, int],
    framing: FramingConfig,
) -> FacePick:
    """Frame the largest face of an image.

    Args:
        image: Upright.
        faces: Those found in it.
        size_px: Height and width of the video, whose shape the frame has.
        framing: Where the face is to lie. Near the edge of the image it lies elsewhere, and where
            there is not enough around it, it is larger: nothing is made up.

    Raises:
        InvalidInputError: If there is no face; its subject is ``fit``.
    """
    require(bool(faces), NO_FACE, subject="fit")
    face = max(faces, key=lambda each: each.area)
    shape = size_px[1] / size_px[0]
    height = face.width / framing.face_share / math.sqrt(shape)
    height = min(height, image.height, image.width / shape)
    rows, columns = max(1, math.floor(height)), max(1, math.floor(height * shape))
    x, y = face.centre
    left = _shifted(x - columns / 2, columns, image.width)
    top = _shifted(y - framing.face_y * rows, rows, image.height)
    return FacePick(image, faces, face, (left, top, left + columns, top + rows), size_px)


def _shifted(start: float, length: int, available: int) -> int:
    return max(0, min(round(start), available - length))


def _scaled(box: Corners, scale: float) -> Corners:
    left, top, right, bottom = (round(scale * at) for at in box)
    return left, top, right, bottom


def _drawable(box: Corners, size: tuple[int, int]) -> Corners:
    """Return corners whose lines lie inside an image."""
    left, top, right, bottom = box
    right, bottom = min(right, size[0]) - 1, min(bottom, size[1]) - 1
    return left, top, max(left, right), max(top, bottom)

"""Decoded images of any mode to upright RGB, a band of rows at a time.

Each step works on a band, so that no second copy of a large image is held.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import require
from .file import ImageFile
from .limits import reduction
from .profiles import ProfileConversion, conversion_of
from .tags import TaggedColours

BACKDROP = (128, 128, 128)
"""Behind transparent parts. Of all plain greys the middle one moves the mean and the deviation,
which colour correction holds the video to, the least; white would wash it out."""

_BAND_PX = 2**20
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def finished_image(image: ImageFile, name: str) -> Image.Image:
    """Return an image in sRGB, over mid grey, on its canvas, upright, reduced if it is large.

    Args:
        image: What was read.
        name: What messages call it.

    Raises:
        InvalidInputError: If its numbers leave their range.
    """
    width, height = image.canvas_px or image.image.size
    factor = reduction(width, height)
    drawn = Image.new("RGB", (-(-width // factor), -(-height // factor)), BACKDROP)
    bands = _Bands(image, name)
    rows = max(1, _BAND_PX // width // factor) * factor
    for top in range(0, height, rows):
        band = bands.cut(top, min(rows, height - top), width)
        drawn.paste(band.reduce(factor) if factor > 1 else band, (0, top // factor))
    turn = _TURNS.get(image.orientation)
    return drawn if turn is None else drawn.transpose(turn)


class _Bands:
    """Cuts bands of an image and converts them."""

    def __init__(self, image: ImageFile, name: str) -> None:
        self._file = image
        self._image = image.image
        self._white = _white_of(name, image.image)
        mode = "L" if self._white else _colour_mode(image.image)
        self._profile = conversion_of(image.profile, mode, name)
        self._tags = image.colours if image.profile is None else None

    def cut(self, top: int, rows: int, width: int) -> Image.Image:
        """Return rows of the canvas, over mid grey."""
        left, upper = self._file.place
        first, last = max(top - upper, 0), min(top + rows - upper, self._image.height)
        canvas = Image.new("RGB", (width, rows), BACKDROP)
        if first >= last:
            return canvas
        band = self._converted(self._image.crop((0, first, self._image.width, last)))
        if band.size == canvas.size:
            return band
        canvas.paste(band, (left, first + upper - top))
        return canvas

    def _converted(self, band: Image.Image) -> Image.Image:
        alpha = None
        if self._white:
            band, alpha = _to_8_bit(band, self._white)
        elif has_transparency(band):
            band = band.convert("RGBA")
            alpha = band.getchannel("A")
            band = band.convert("RGB")
        coloured = _coloured(band, self._profile, self._tags)
        return coloured if alpha is None else _over_backdrop(coloured, alpha)


def has_transparency(image: Image.Image) -> bool:
    """Whether some of an image may be seen through."""
    is_clear = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    return is_clear or (image.mode == "P" and "A" in getattr(image.palette, "mode", ""))


def _coloured(
    band: Image.Image, profile: ProfileConversion | None, tags: TaggedColours | None
) -> Image.Image:
    if profile is not None:
        return profile.apply(band)
    band = band.convert("RGB")
    return band if tags is None else Image.fromarray(tags.to_srgb(np.asarray(band)))


def _over_backdrop(band: Image.Image, alpha: Image.Image) -> Image.Image:
    band.putalpha(alpha)
    backdrop = Image.new("RGBA", band.size, (*BACKDROP, 255))
    return Image.alpha_composite(backdrop, band).convert("RGB")


def _colour_mode(image: Image.Image) -> str:
    """Return the mode that a profile is applied to."""
    if image.mode in ("1", "L", "LA", "La"):
        return "L"
    return "CMYK" if image.mode == "CMYK" else "RGB"


def _white_of(name: str, image: Image.Image) -> float:
    """Return the number that is white in deep grey, 0 for other images.

    Raises:
        InvalidInputError: If a number is beyond it, or below black.
    """
    if image.mode != "F" and not image.mode.startswith("I"):
        return 0
    white = 1.0 if image.mode == "F" else 65535.0
    rows = max(1, _BAND_PX // image.width)
    lowest, highest = np.inf, -np.inf
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        values = np.asarray(image.crop(box))
        # NaN must win, so no plain min and max.
        lowest, highest = np.minimum(lowest, values.min()), np.maximum(highest, values.max())
    require(
        bool(lowest >= 0 and highest <= white),
        f"{name}: grey values from {lowest:g} to {highest:g}, need 0 to {white:g}; "
        "save it as an 8-bit PNG",
    )
    return white


def _to_8_bit(band: Image.Image, white: float) -> tuple[Image.Image, Image.Image | None]:
    """Scale a band of deep grey; second, its transparency. Pillow's conversion clips at 255."""
    values: NDArray[np.float64] = np.asarray(band, np.float64)
    grey = Image.fromarray(np.round(values * (255 / white)).astype(np.uint8))
    clear = band.info.get("transparency")
    if not isinstance(clear, int):
        return grey, None
    return grey, Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8))

"""Decoding images whose end is missing.

What every viewer shows is taken, what lacks a part that can be seen is refused. How much that is
gets measured: an image is decoded again with other bytes in place of the missing ones, and what
differs was not in the file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from PIL import Image

from ...errors import InvalidInputError
from ...log import printable_log
from .formats import Reader
from .jpeg import END, JpegSegments, shows_everything
from .limits import MAX_DECODED_BYTES, reduction
from .source import Spliced

_log = printable_log(logging.getLogger(__name__))

_LARGEST_GAP = 0.005
"""Share of an image that may be missing; at its edge it goes unnoticed."""


def decode(name: str, image: Image.Image, reopen: Callable[[], Image.Image]) -> Image.Image:
    """Decode an image whose reader writes row by row.

    Args:
        name: What messages call it.
        image: Opened.
        reopen: Opens it again, without a checksum at its end if it has one.

    Raises:
        InvalidInputError: If a part that can be seen is missing.
        Exception: Whatever Pillow raises else.
    """
    try:
        image.load()
    except OSError:
        if 8 * image.width * image.height > MAX_DECODED_BYTES:
            raise
        image.close()
        filled = [_on_colour(reopen(), colour) for colour in (0, 1)]
        _weigh(name, _share_of_differing(*filled))
        return filled[0]
    return image


def decode_jpeg(name: str, file: BinaryIO, segments: JpegSegments, reader: Reader) -> Image.Image:
    """Decode a JPEG file, reduced if it is large.

    Args:
        name: What messages call it.
        file: The file.
        segments: What it holds.
        reader: Pillow's.

    Raises:
        InvalidInputError: If a part that can be seen is missing.
        Exception: Whatever Pillow raises else.
    """
    image, is_whole = _with_tail(file, segments, END, reader)
    if is_whole:
        return image
    size = 2**16 + file.seek(0, 2) // 4
    noise = np.random.default_rng(0).integers(0, 255, size, np.uint8).tobytes()
    gap = _share_of_differing(image, _with_tail(file, segments, noise + END, reader)[0])
    if gap > 0 and segments.is_progressive and shows_everything(file, segments):
        _log.warning("%s: it is cut short and lacks fine detail; copy or export it again", name)
    else:
        _weigh(name, gap)
    return image


def _with_tail(
    file: BinaryIO, segments: JpegSegments, tail: bytes, reader: Reader
) -> tuple[Image.Image, bool]:
    """Decode with bytes behind the file; second, whether they were not needed."""
    source = Spliced(file, segments.parts, tail)
    image = reader(source, "")
    factor = reduction(*image.size)
    image.draft(None, (image.width // factor, image.height // factor))
    image.load()
    return image, not source.tail_was_read


def _on_colour(image: Image.Image, colour: int) -> Image.Image:
    """Decode what is there over a plain colour."""
    image.im = Image.new(image.mode, image.size, (colour,) * len(image.getbands())).im
    try:
        image.load()
    except OSError:
        # Of what remains to be decoded nothing is wanted.
        image.tile = []  # type: ignore[attr-defined]
        image.load()
    return image


def _weigh(name: str, gap: float) -> None:
    """Warn of a share that is missing, or refuse the image."""
    if gap > _LARGEST_GAP:
        raise InvalidInputError(
            f"{name}: cannot be read ({100 * gap:.3g} % of it is missing); the file is cut short "
            "or damaged, copy it or export it again"
        )
    if gap > 0:
        _log.warning("%s: %.2g %% of it is missing; copy or export it again", name, 100 * gap)


def _share_of_differing(image: Image.Image, other: Image.Image) -> float:
    rows = max(1, 2**20 // image.width)
    differing = 0
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        pair = np.asarray(image.crop(box)), np.asarray(other.crop(box))
        apart = pair[0] != pair[1]
        differing += int(np.count_nonzero(apart if apart.ndim == 2 else apart.any(-1)))
    return differing / (image.width * image.height)

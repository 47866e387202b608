"""How large images may be, and what memory reading one may take.

All of it is known from headers, so that nothing too large is decoded.
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import BinaryIO

from PIL import Image

from ...errors import InvalidInputError, require
from .boxes import codestream_size
from .formats import Format

MIN_IMAGE_PX = 16
"""Smallest side of an image that is accepted."""
MAX_ASPECT = 10
"""Longest side over shortest; beyond it nothing of a face survives the crop."""
MAX_DECODED_BYTES = 512 * 2**20
"""What decoding may take. The finished image comes on top, so that reading one takes at most
about 700 MiB."""
MAX_FINISHED_PX = 30_000_000
"""Larger images are reduced by a whole factor, JPEG ones while they are decoded."""
MAX_JPEG_PX = 256_000_000
"""What decoding a JPEG file takes is time; cameras of phones reach 200 million pixels."""
MAX_FILE_BYTES = 512 * 2**20
_WHOLE_FILE_BYTES = 128 * 2**20
"""For formats whose readers take the whole file into memory."""
_MAX_ICON_PX = 4_000_000
_COMPRESSED = 1
_TIFF_TAGS = {"compression": 259, "rows": 278, "tile_width": 322, "tile_height": 323}


def check_file(name: str, found: Format, size: int) -> None:
    """Refuse files that are too large to be read.

    Raises:
        InvalidInputError: With size and limit.
    """
    limit = _WHOLE_FILE_BYTES if found.name in ("WEBP", "AVIF", "ICO") else MAX_FILE_BYTES
    require(
        size <= limit,
        f"{name}: the file has {size / 2**20:.0f} MiB, the limit is {limit >> 20}; make the "
        "image smaller",
    )


def check_shape(name: str, width: int, height: int) -> None:
    """Refuse images too small or too long for a portrait.

    Raises:
        InvalidInputError: With size and limit.
    """
    require(
        min(width, height) >= MIN_IMAGE_PX,
        f"{name}: {width}x{height} pixels; need at least "
        f"{MIN_IMAGE_PX}x{MIN_IMAGE_PX}, better 256 and more a side",
    )
    require(
        max(width, height) <= MAX_ASPECT * min(width, height),
        f"{name}: {width}x{height} pixels; the long side may be {MAX_ASPECT} times the "
        "short one at most, crop it",
    )


def check_memory(name: str, found: Format, image: Image.Image, file: BinaryIO) -> None:
    """Refuse images that take too much memory to decode.

    Args:
        name: What messages call the image.
        found: Its format.
        image: Opened, not decoded.
        file: Its file.

    Raises:
        InvalidInputError: With size and limit.
    """
    width, height = image.size
    needed = width * height * found.bytes_per_pixel
    if found.name == "TIFF":
        needed += width * height * 4 + _tiff_buffer(image)
    elif found.name == "JPEG2000":
        stream = codestream_size(file)
        if stream is not None:
            inside = stream.width * stream.height * (4 * stream.num_components + 8)
            needed = max(needed, inside)
    check_bytes(name, (width, height), needed)


def check_bytes(name: str, size: tuple[int, int], needed: int) -> None:
    """Refuse an image of ``size`` that takes more than :data:`MAX_DECODED_BYTES`.

    Raises:
        InvalidInputError: With size and limit.
    """
    if needed > MAX_DECODED_BYTES:
        most = int(MAX_DECODED_BYTES / (needed / max(1, size[0] * size[1])) / 1e6)
        raise too_large(name, size, most)


def too_large(name: str, size: tuple[int, int], limit: int) -> InvalidInputError:
    """Return the error for an image of more than ``limit`` million pixels."""
    return InvalidInputError(
        f"{name}: {size[0]}x{size[1]} is more than the {limit} million pixels that an image of "
        "this kind may have; make it smaller"
    )


def check_icons(name: str, file: BinaryIO) -> None:
    """Refuse an icon file whose images are larger than its list says they can be.

    Raises:
        InvalidInputError: With size and limit.
    """
    file.seek(0)
    listed = file.read(6 + 16 * 64)
    count = int.from_bytes(listed[4:6], "little")
    for at in range(6, min(6 + 16 * count, len(listed) - 15), 16):
        file.seek(int.from_bytes(listed[at + 12 : at + 16], "little"))
        head = file.read(24)
        if head.startswith(b"\x89PNG"):
            size = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
        else:
            size = int.from_bytes(head[4:8], "little"), int.from_bytes(head[8:12], "little")
        if size[0] * size[1] > _MAX_ICON_PX:
            raise too_large(name, size, _MAX_ICON_PX // 10**6)
    require(count <= 64, f"{name}: {count} icons in one file; save the largest as a PNG")


def reduction(width: int, height: int) -> int:
    """Return by what whole factor an image is reduced."""
    return max(1, ceil(sqrt(width * height / MAX_FINISHED_PX)))


def _tiff_buffer(image: Image.Image) -> int:
    """Return the bytes of the largest tile or strip that libtiff decompresses at once."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits = sum(tags.get(258, (1,))) if isinstance(tags.get(258, (1,)), tuple) else 64
    width, height = image.size
    tile = tags.get(_TIFF_TAGS["tile_width"]), tags.get(_TIFF_TAGS["tile_height"])
    if tile[0] and tile[1]:
        return int(tile[0] * tile[1] * bits) // 8
    if tags.get(_TIFF_TAGS["compression"], _COMPRESSED) == _COMPRESSED:
        return 0
    return int(width * min(height, tags.get(_TIFF_TAGS["rows"], height)) * bits) // 8

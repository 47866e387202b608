"""Image files, opened and decoded: Pillow's image and all that says how it is meant."""

from __future__ import annotations

import logging
import re
import struct
from dataclasses import dataclass, replace
from typing import BinaryIO

from PIL import Image

from ...log import printable_log
from .boxes import jp2_profile, nclx_of
from .crop import decode, decode_jpeg
from .formats import Format, Reader, format_of, reader_of
from .jpeg import read_jpeg
from .limits import (
    MAX_JPEG_PX,
    check_bytes,
    check_file,
    check_icons,
    check_memory,
    check_shape,
    reduction,
    too_large,
)
from .png import read_png, unpack
from .source import MAX_META_BYTES, Span, Spliced
from .tags import TaggedColours, cicp_colours, nclx_colours, png_colours

_log = printable_log(logging.getLogger(__name__))

_ORIENTATION = 0x0112
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=\"|>)([1-8])")
_ANIMATED = ("GIF", "WEBP", "AVIF")


@dataclass(frozen=True)
class ImageFile:
    """A decoded image, and what its file says about it."""

    image: Image.Image
    """As Pillow decodes it: any mode, perhaps lying on its side."""
    orientation: int = 1
    """EXIF's, 1 to 8; 1 is upright."""
    profile: bytes | None = None
    """ICC profile."""
    colours: TaggedColours | None = None
    """What tags say of its colours, where there is no profile; ``None`` for sRGB."""
    canvas_px: tuple[int, int] | None = None
    """Width and height of the transparent canvas that it lies on, ``None`` if it fills it."""
    place: tuple[int, int] = (0, 0)
    """Left and top on the canvas."""


def read_image(file: BinaryIO, name: str) -> ImageFile:
    """Open and decode the image of a file, the first frame of an animation.

    Args:
        file: Opened for reading.
        name: What messages call it.

    Raises:
        InvalidInputError: If it is no image of a known format, or too large.
        Exception: Whatever Pillow raises for a damaged file.
    """
    found = format_of(file, name)
    reader = reader_of(found, name)
    check_file(name, found, file.seek(0, 2))
    file.seek(0)
    if found.name == "PNG":
        return _read_png(file, name, found, reader)
    if found.name == "JPEG":
        return _read_jpeg(file, name, reader)
    return _read_plain(file, name, found, reader)


def _read_png(file: BinaryIO, name: str, found: Format, reader: Reader) -> ImageFile:
    chunks = read_png(file)
    check_shape(name, *chunks.size)
    image = reader(Spliced(file, chunks.parts), "")
    check_memory(name, found, image, file)
    width, height = chunks.size  # the canvas; the first frame may be a small part of it
    check_bytes(name, chunks.size, width * height * found.bytes_per_pixel)
    image = decode(name, image, lambda: reader(Spliced(file, chunks.parts_without_checksum), ""))
    if chunks.is_animated:
        _warn_of_animation(name)
    if chunks.is_16_bit and isinstance(image.info.get("transparency"), tuple):
        # Pillow keeps the upper half of each sample, but all of the transparent colour.
        image.info["transparency"] = tuple(value >> 8 for value in image.info["transparency"])
    colours = cicp_colours(chunks.notes.get(b"cICP", b""))
    profile = unpack(chunks.notes.get(b"iCCP", b"").partition(b"\0")[2][1:])
    has_profile = profile is not None and profile[36:40] == b"acsp"
    return ImageFile(
        image,
        _orientation(chunks.exif, chunks.xmp),
        profile if has_profile and colours is None else None,
        colours or png_colours(chunks.notes),
        chunks.canvas_px,
        chunks.place,
    )


def _read_jpeg(file: BinaryIO, name: str, reader: Reader) -> ImageFile:
    segments = read_jpeg(file)
    check_shape(name, *segments.size)
    if segments.size[0] * segments.size[1] > MAX_JPEG_PX:
        raise too_large(name, segments.size, MAX_JPEG_PX // 10**6)
    pixels = segments.size[0] * segments.size[1] // reduction(*segments.size) ** 2
    check_bytes(name, segments.size, segments.buffered_bytes + 4 * pixels)
    image = decode_jpeg(name, file, segments, reader)
    return ImageFile(image, _orientation(segments.exif, segments.xmp), segments.profile)


def _read_plain(file: BinaryIO, name: str, found: Format, reader: Reader) -> ImageFile:
    if found.name == "ICO":
        check_icons(name, file)
        file.seek(0)
    if found.name == "BMP":
        return _read_bitmap(file, name, found, reader)
    image = reader(file, "")
    check_shape(name, *image.size)
    check_memory(name, found, image, file)
    box = _frame_box(image) if found.name == "GIF" else None
    image.load()
    file_image = ImageFile(image)
    if box is not None:
        file_image = ImageFile(image.crop(box), canvas_px=image.size, place=box[:2])
    if found.name in _ANIMATED and _is_animated(image):
        _warn_of_animation(name)
    if found.name == "GIF":
        return file_image
    return _with_colours(replace(file_image, orientation=_orientation_of(image)), file, found)


def _read_bitmap(file: BinaryIO, name: str, found: Format, reader: Reader) -> ImageFile:
    # The bytes that fill up the last row may be missing.
    parts = [Span(0, file.seek(0, 2))]
    image = reader(Spliced(file, parts, bytes(3)), "")
    check_shape(name, *image.size)
    check_memory(name, found, image, file)
    image = decode(name, image, lambda: reader(Spliced(file, parts, bytes(3)), ""))
    return ImageFile(image, profile=_bmp_profile(file))


def _with_colours(image: ImageFile, file: BinaryIO, found: Format) -> ImageFile:
    profile = image.image.info.get("icc_profile") or None
    if found.name == "JPEG2000":
        profile = jp2_profile(file)
    elif found.name == "AVIF" and profile is None:
        nclx = nclx_of(file)
        return replace(image, colours=nclx_colours(*nclx) if nclx else None)
    if profile is not None and len(profile) > MAX_META_BYTES:
        profile = None
    return replace(image, profile=profile)


def _bmp_profile(file: BinaryIO) -> bytes | None:
    """Return the profile in a bitmap of version 5."""
    file.seek(0)
    head = file.read(14 + 124)
    if len(head) < 138 or head[14:18] != b"\x7c\0\0\0" or head[70:74] != b"DEBM":
        return None
    start, size = struct.unpack("<II", head[126:134])
    file.seek(14 + start)
    return file.read(size) if 0 < size <= MAX_META_BYTES else None


def _frame_box(image: Image.Image) -> tuple[int, int, int, int] | None:
    """Return where the first frame of a GIF lies, ``None`` if it fills the canvas."""
    left, top, right, bottom = image.tile[0][1]  # type: ignore[attr-defined]
    box = left, top, min(right, image.width), min(bottom, image.height)
    return None if box == (0, 0, *image.size) else box


def _is_animated(image: Image.Image) -> bool:
    """Whether there is a second frame; it need not be intact, since it is not shown."""
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:
        return False


def _warn_of_animation(name: str) -> None:
    _log.warning("%s: an animation; its first frame is used", name)


def _orientation_of(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        return 1


def _orientation(exif: bytes | None, xmp: bytes | None) -> int:
    """Return how an image lies; a damaged note says nothing."""
    if exif:
        tags = Image.Exif()
        try:
            tags.load(exif)
            if _ORIENTATION in tags:
                return int(tags[_ORIENTATION])
        except Exception:
            pass
    match = _XMP_ORIENTATION.search(xmp or b"")
    return int(match[1]) if match else 1

"""The formats of images that are opened, and nothing else.

A file is opened by what it begins with, whatever it is called, and by the one reader of its
format. Pillow left to itself asks all its readers; one of them starts a program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import BinaryIO, cast

from PIL import Image
from PIL import __version__ as PILLOW_VERSION

from ...errors import InvalidInputError
from .source import Spliced

_PREFIX_BYTES = 32

Reader = Callable[[BinaryIO | Spliced, str], Image.Image]
"""Opens a file; the second argument is its name, which may be empty."""


@dataclass(frozen=True)
class Format:
    """A format of images."""

    name: str
    """As Pillow calls it."""
    module: str
    """Of Pillow, that reads it."""
    begins: tuple[bytes, ...] = ()
    """What its files begin with."""
    bytes_per_pixel: int = 4
    """Memory its reader takes at most, see :func:`limits.check_memory`."""


# Measured with Pillow 10.1 and 13: what a reader holds in addition to the 4 bytes of the pixel.
FORMATS = (
    Format("PNG", "PngImagePlugin", (b"\x89PNG\r\n\x1a\n",)),
    Format("JPEG", "JpegImagePlugin", (b"\xff\xd8\xff",)),
    Format("WEBP", "WebPImagePlugin", (b"RIFF",), 16),
    Format("AVIF", "AvifImagePlugin", (b"ftyp",), 24),
    Format("GIF", "GifImagePlugin", (b"GIF87a", b"GIF89a")),
    Format("TIFF", "TiffImagePlugin", (b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"II+\0", b"MM\0+")),
    Format("BMP", "BmpImagePlugin", (b"BM",), 6),
    Format(
        "JPEG2000",
        "Jpeg2KImagePlugin",
        (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"),
        28,
    ),
    Format("PSD", "PsdImagePlugin", (b"8BPS",)),
    Format("ICO", "IcoImagePlugin", (b"\0\0\1\0",), 12),
    Format("PPM", "PpmImagePlugin", tuple(b"P%c" % kind for kind in b"123456f"), 12),
    Format("PCX", "PcxImagePlugin", (b"\x0a\0", b"\x0a\2", b"\x0a\3", b"\x0a\5"), 8),
    Format("DDS", "DdsImagePlugin", (b"DDS ",), 128),
    Format("TGA", "TgaImagePlugin"),
)
"""What is opened, by what it begins with; TGA files, which begin with no sign, come last."""

COMMON = "PNG or JPEG"
OTHERS = "WebP, AVIF, GIF, TIFF, BMP, JPEG 2000, PSD, ICO, PPM, PCX, DDS, TGA"


def format_of(file: BinaryIO, name: str) -> Format:
    """Return the format of a file.

    Args:
        file: The file.
        name: What messages call it.

    Raises:
        InvalidInputError: If it is none of :data:`FORMATS`.
    """
    file.seek(0)
    prefix = file.read(_PREFIX_BYTES)
    for candidate in FORMATS:
        if _fits(candidate, prefix):
            return candidate
    size = file.seek(0, 2)
    raise InvalidInputError(
        f"{name}: its {size} bytes are no image in a format that is read; use {COMMON} "
        f"({OTHERS} are read too)"
    )


def reader_of(found: Format, name: str) -> Reader:
    """Return Pillow's reader of a format; no other is imported.

    Raises:
        InvalidInputError: If this Pillow has none.
    """
    missing = InvalidInputError(
        f"{name}: Pillow {PILLOW_VERSION} cannot read {found.name}; use {COMMON}, or update Pillow"
    )
    try:
        module = import_module(f"PIL.{found.module}")
    except ImportError as error:
        raise missing from error
    if found.name not in Image.OPEN or not getattr(module, "SUPPORTED", True):
        raise missing
    return cast("Reader", Image.OPEN[found.name][0])


def _fits(candidate: Format, prefix: bytes) -> bool:
    if candidate.name == "TGA":
        return _is_tga(prefix)
    if candidate.name == "AVIF":
        return prefix[4:12] in (b"ftypavif", b"ftypavis", b"ftypmif1", b"ftypmsf1")
    if candidate.name == "WEBP":
        return prefix.startswith(b"RIFF") and prefix[8:12] == b"WEBP"
    return prefix.startswith(candidate.begins)


def _is_tga(prefix: bytes) -> bool:
    """Whether this may be a header of a TGA file: map, kind of image, size and depth."""
    return (
        len(prefix) >= 18
        and prefix[1] in (0, 1)
        and prefix[2] in (1, 2, 3, 9, 10, 11)
        and min(int.from_bytes(prefix[at : at + 2], "little") for at in (12, 14)) > 0
        and prefix[16] in (1, 8, 16, 24, 32)
    )

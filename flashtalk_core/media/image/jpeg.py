"""JPEG files: what Pillow is to decode, what the segments say about it, and what is missing.

Pillow refuses images that every viewer shows, for a damaged note or a missing end. So segments
are read here, Pillow gets the needed ones, and an end marker behind all.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import BinaryIO

from .source import MAX_META_BYTES, Span

END = b"\xff\xd9"
_START = b"\xff\xd8"
_MAX_SEGMENTS = 20_000
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_NEEDED = frozenset({*_FRAMES, 0xC4, 0xCC, 0xDB, 0xDD, 0xDA})
_SCAN = 0xDA
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_PROFILE = b"ICC_PROFILE\0"
_LEAST = {0xE0: (b"JFIF\0", 14), 0xEE: (b"Adobe", 12)}
"""Segments that decide about colour: how they begin, and their smallest size."""
_NEXT_SCAN = re.compile(rb"\xff\xda", re.DOTALL)


@dataclass
class JpegSegments:
    """What a JPEG file holds."""

    parts: list[Span | bytes] = field(default_factory=list)
    """The image to decode, as a JPEG file that may lack its end."""
    frame: bytes = b""
    """Data of SOF: precision, height, width, then three bytes for each component."""
    is_progressive: bool = False
    first_scan: bytes = b""
    """Data of the first SOS."""
    exif: bytes | None = None
    xmp: bytes | None = None
    profile: bytes | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = struct.unpack(">HH", self.frame[1:5])
        return width, height

    @property
    def num_components(self) -> int:
        """How many colours each pixel has."""
        return self.frame[5]

    @property
    def buffered_bytes(self) -> int:
        """What libjpeg holds in memory of an image that comes in several scans."""
        if not self.is_progressive and self.first_scan[0] == self.num_components:
            return 0
        sampling = [self.frame[7 + 3 * index] for index in range(self.num_components)]
        across = max(factors >> 4 for factors in sampling)
        down = max(factors & 15 for factors in sampling)
        share = sum((factors >> 4) * (factors & 15) for factors in sampling) / max(1, across * down)
        return int(2 * share * self.size[0] * self.size[1])


def read_jpeg(file: BinaryIO) -> JpegSegments:
    """Read the segments of a JPEG file up to its first scan.

    Raises:
        ValueError: If there is no image behind them.
    """
    found = JpegSegments(parts=[_START])
    profile: dict[tuple[int, int], bytes] = {}
    position = 2
    for _ in range(_MAX_SEGMENTS):
        marker, start, size = _segment(file, position)
        if start + size > file.seek(0, 2):
            break
        file.seek(start)
        data = file.read(min(size, 2**16))
        if marker in _FRAMES and not found.frame:
            found.frame, found.is_progressive = data, marker in _PROGRESSIVE
        if _is_needed(marker, data):
            found.parts.append(bytes((0xFF, marker)) + struct.pack(">H", size + 2) + data)
        _note(marker, data, found, profile)
        position = start + size
        if marker == _SCAN:
            found.first_scan = data
            break
    _check(found)
    found.profile = _joined(profile)
    end = file.seek(0, 2)
    file.seek(end - 1)
    # Half a marker at the end would make one of whatever is put behind.
    size = max(0, end - position - (file.read(1) == b"\xff"))
    found.parts.append(Span(position, size))
    return found


def shows_everything(file: BinaryIO, found: JpegSegments) -> bool:
    """Whether an image that ends in mid-scan has its rough form in whole.

    Args:
        file: The file.
        found: What it holds; the image comes in several scans.
    """
    rest = found.parts[-1]
    assert isinstance(rest, Span)
    file.seek(rest.start)
    data = file.read(rest.size)
    scans = [found.first_scan]
    for match in _NEXT_SCAN.finditer(data):
        size = int.from_bytes(data[match.end() : match.end() + 2], "big")
        scans.append(data[match.end() + 2 : match.end() + size])
    rough: set[int] = set()
    for scan in scans[:-1]:
        num = scan[0] if scan else 0
        if len(scan) >= 4 + 2 * num and scan[1 + 2 * num] == 0 and scan[3 + 2 * num] >> 4 == 0:
            rough.update(scan[1 : 1 + 2 * num : 2])
    return rough >= {found.frame[6 + 3 * index] for index in range(found.num_components)}


def _segment(file: BinaryIO, position: int) -> tuple[int, int, int]:
    """Return the next marker, and where its data are; what lies between segments is skipped."""
    file.seek(position)
    data = file.read(4)
    if data[:1] != b"\xff" or data[1:2] == b"\xff":
        data += file.read(2**16)
    at = 0
    while True:
        at = data.find(b"\xff", at)
        while at >= 0 and data[at + 1 : at + 2] == b"\xff":
            at += 1
        if at < 0 or at + 4 > len(data):
            raise ValueError("it ends before the image begins")
        marker = data[at + 1]
        if marker >= 0xC0 and not 0xD0 <= marker <= 0xD8:
            break
        at += 2
    size = int.from_bytes(data[at + 2 : at + 4], "big")
    if marker == 0xD9 or size < 2:
        raise ValueError("it ends before the image begins")
    return marker, position + at + 4, size - 2


def _is_needed(marker: int, data: bytes) -> bool:
    begin, least = _LEAST.get(marker, (b"", 0))
    return marker in _NEEDED or (bool(begin) and data.startswith(begin) and len(data) >= least)


def _note(
    marker: int, data: bytes, found: JpegSegments, profile: dict[tuple[int, int], bytes]
) -> None:
    if marker == 0xE1 and data.startswith(_EXIF) and found.exif is None:
        found.exif = data[len(_EXIF) :]
    elif marker == 0xE1 and data.startswith(_XMP) and found.xmp is None:
        found.xmp = data[len(_XMP) :]
    elif marker == 0xE2 and data.startswith(_PROFILE) and len(data) > len(_PROFILE) + 2:
        number, count = data[len(_PROFILE) : len(_PROFILE) + 2]
        profile.setdefault((number, count), data[len(_PROFILE) + 2 :])


def _joined(profile: dict[tuple[int, int], bytes]) -> bytes | None:
    """Return a profile of several segments, ``None`` unless they are all there."""
    numbers = sorted(profile)
    if not numbers or numbers != [(index + 1, len(numbers)) for index in range(len(numbers))]:
        return None
    joined = b"".join(profile[number] for number in numbers)
    return joined if len(joined) <= MAX_META_BYTES else None


def _check(found: JpegSegments) -> None:
    """Refuse what is not whole enough to know its size."""
    frame, scan = found.frame, found.first_scan
    if len(frame) < 6 or len(frame) < 6 + 3 * frame[5] or frame[5] == 0 or not scan:
        raise ValueError("it ends before the image begins")

"""Boxes of AVIF and JPEG 2000 files, as far as they say what Pillow does not.

Source: ISO 14496-12 (boxes), ISO 23008-12 (items and their properties), ISO 15444-1 (JP2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .source import MAX_META_BYTES, Span

_MAX_BOXES = 10_000
_CODESTREAM = b"\xff\x4f\xff\x51"


@dataclass(frozen=True)
class CodestreamSize:
    """What the codestream of a JPEG 2000 file says of itself."""

    width: int
    height: int
    num_components: int


def nclx_of(file: BinaryIO) -> tuple[int, int] | None:
    """Return code points of primaries and transfer of an AVIF file's image, if it has them."""
    meta = _child(file, _whole(file), b"meta")
    if meta is None or meta.size > MAX_META_BYTES:
        return None
    inside = Span(meta.start + 4, meta.size - 4)
    primary, properties = _child(file, inside, b"pitm"), _child(file, inside, b"iprp")
    if primary is None or properties is None:
        return None
    version = _read(file, primary, 4)[0]
    item = int.from_bytes(_read(file, primary, 8)[4 : 8 if version else 6], "big")
    container = _child(file, properties, b"ipco")
    association = _child(file, properties, b"ipma")
    if container is None or association is None:
        return None
    kinds = list(_boxes(file, container))
    for index in _associated(_read(file, association, association.size), item):
        if 0 < index <= len(kinds) and kinds[index - 1][0] == b"colr":
            data = _read(file, kinds[index - 1][1], 11)
            if data[:4] == b"nclx" and len(data) == 11:
                primaries, transfer = struct.unpack(">HH", data[4:8])
                return primaries, transfer
    return None


def jp2_profile(file: BinaryIO) -> bytes | None:
    """Return the colour profile of a JP2 file, if it has one."""
    header = _child(file, _whole(file), b"jp2h")
    if header is None:
        return None
    for kind, span in _boxes(file, header):
        if kind == b"colr" and span.size <= MAX_META_BYTES:
            data = _read(file, span, span.size)
            if data[:1] in (b"\2", b"\3"):
                return data[3:]
    return None


def codestream_size(file: BinaryIO) -> CodestreamSize | None:
    """Return the size that a JPEG 2000 decoder will find, which the header need not state."""
    file.seek(0)
    start = 0
    if file.read(4) != _CODESTREAM:
        found = _child(file, _whole(file), b"jp2c")
        if found is None:
            return None
        start = found.start
    file.seek(start)
    data = file.read(42)
    if not data.startswith(_CODESTREAM) or len(data) < 42:
        return None
    width, height = struct.unpack(">II", data[8:16])
    return CodestreamSize(width, height, struct.unpack(">H", data[40:42])[0])


def _whole(file: BinaryIO) -> Span:
    return Span(0, file.seek(0, 2))


def _read(file: BinaryIO, span: Span, size: int) -> bytes:
    file.seek(span.start)
    return file.read(max(0, min(size, span.size)))


def _boxes(file: BinaryIO, inside: Span) -> Iterator[tuple[bytes, Span]]:
    position, end = inside.start, inside.start + inside.size
    for _ in range(_MAX_BOXES):
        file.seek(position)
        head = file.read(16)
        if position + 8 > end or len(head) < 8:
            return
        size, kind = struct.unpack(">I4s", head[:8])
        skipped = 8
        if size == 1 and len(head) == 16:
            size, skipped = struct.unpack(">Q", head[8:])[0], 16
        elif size == 0:
            size = end - position
        if size < skipped or position + size > end:
            return
        yield kind, Span(position + skipped, size - skipped)
        position += size


def _child(file: BinaryIO, inside: Span, kind: bytes) -> Span | None:
    return next((span for found, span in _boxes(file, inside) if found == kind), None)


def _associated(data: bytes, item: int) -> list[int]:
    """Return the numbers, from 1 on, of the properties of an item (ipma)."""
    if len(data) < 8:
        return []
    version, is_wide, count = data[0], data[3] & 1, int.from_bytes(data[4:8], "big")
    position = 8
    for _ in range(min(count, len(data))):
        size = 4 if version else 2
        found = int.from_bytes(data[position : position + size], "big")
        number = data[position + size] if position + size < len(data) else 0
        position += size + 1
        width = 2 if is_wide else 1
        entries = data[position : position + number * width]
        position += number * width
        if found == item:
            mask = 0x7FFF if is_wide else 0x7F
            return [
                int.from_bytes(entries[at : at + width], "big") & mask
                for at in range(0, len(entries), width)
            ]
    return []

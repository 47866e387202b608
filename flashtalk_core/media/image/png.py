"""PNG files: what Pillow is to decode, and what the chunks say about it.

Pillow refuses images that every viewer shows, for a note with a wrong checksum or a long text,
and knows nothing of newer chunks. So chunks are read here, and Pillow gets the needed ones.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from .source import MAX_META_BYTES, Span

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHECKSUMS = 8
"""Bytes of the checksums that end the data of an image, and its last chunk."""
_MAX_CHUNKS = 500_000
_NOTES = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"eXIf", b"acTL")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_XMP = b"XML:com.adobe.xmp"
_RAW_EXIF = b"Raw profile type exif"
_TRANSPARENCY = {0: (2,), 2: (6,), 3: range(1, 257)}
"""Bytes of tRNS by the kind of colour; one of another size says nothing."""
_END = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))


@dataclass(frozen=True)
class Chunk:
    """Kind of a chunk, and where its data lie."""

    kind: bytes
    span: Span


@dataclass
class PngChunks:
    """What a PNG file holds."""

    header: bytes
    """Data of IHDR."""
    parts: list[Span | bytes] = field(default_factory=list)
    """The image to decode, as a PNG file."""
    notes: dict[bytes, bytes] = field(default_factory=dict)
    """Data of the first intact chunk of each kind that says something about the image."""
    exif: bytes | None = None
    xmp: bytes | None = None
    is_animated: bool = False
    canvas_px: tuple[int, int] | None = None
    """Width and height of what the image lies on, ``None`` if it is all of it."""
    place: tuple[int, int] = (0, 0)
    """Left and top of the image on its canvas."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the canvas."""
        width, height = struct.unpack(">II", self.header[:8])
        return width, height

    @property
    def parts_without_checksum(self) -> list[Span | bytes]:
        """The image without its end, so that a wrong checksum of its data is not found."""
        *parts, last, _ = self.parts
        if not isinstance(last, Span):
            return self.parts
        return [*parts, Span(last.start, max(0, last.size - _CHECKSUMS))]

    @property
    def is_16_bit(self) -> bool:
        """Whether samples have 16 bits."""
        return self.header[8] == 16


def read_png(file: BinaryIO) -> PngChunks:
    """Read the chunks of a PNG file.

    Of an animation whose default image is not part of it, the first frame is taken, as
    browsers do.

    Raises:
        ValueError: If it begins with anything but a header.
    """
    chunks = list(_chunks(file))
    if not chunks or chunks[0].kind != b"IHDR" or chunks[0].span.size != 13:
        raise ValueError("no PNG header")
    header = _data(file, chunks[0])
    if not _is_audio(file, chunks[0]):
        raise ValueError("damaged PNG header")
    found = PngChunks(header)
    for chunk in chunks:
        _note(file, chunk, found)
    frames = struct.unpack(">I", found.notes.get(b"acTL", b"")[:4].rjust(4, b"\0"))[0]
    found.is_animated = frames > 1
    parts = _first_frame(file, chunks, found) if frames else None
    found.parts = [SIGNATURE, *(parts or _default_image(chunks, found)), _END]
    return found


def _chunks(file: BinaryIO) -> Iterator[Chunk]:
    """Yield chunks up to the end of the image, or of the file."""
    position = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            return
        size, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return
        yield Chunk(kind, Span(position + 8, size))
        position += 12 + size


def _data(file: BinaryIO, chunk: Chunk) -> bytes:
    file.seek(chunk.span.start)
    return file.read(min(chunk.span.size, MAX_META_BYTES))


def _is_audio(file: BinaryIO, chunk: Chunk) -> bool:
    """Whether the checksum agrees."""
    checksum = zlib.crc32(chunk.kind + _data(file, chunk))
    return file.read(4) == struct.pack(">I", checksum)


def _note(file: BinaryIO, chunk: Chunk, found: PngChunks) -> None:
    """Store the value of a chunk if it is plausible."""
    if chunk.span.size > MAX_META_BYTES:
        return
    if chunk.kind in _NOTES and chunk.kind not in found.notes and _is_audio(file, chunk):
        found.notes[chunk.kind] = _data(file, chunk)
        if chunk.kind == b"eXIf":
            found.exif = found.notes[chunk.kind]
    elif chunk.kind in _TEXTS:
        file.seek(chunk.span.start)
        keyword = file.read(min(chunk.span.size, 80)).partition(b"\0")[0]
        if keyword == _XMP and found.xmp is None:
            found.xmp = _text(chunk.kind, _data(file, chunk))
        elif keyword == _RAW_EXIF and found.exif is None:
            found.exif = _unhexed(_text(chunk.kind, _data(file, chunk)))


def _text(kind: bytes, data: bytes) -> bytes:
    """Return the text of a chunk, empty if it cannot be unpacked."""
    text = data.partition(b"\0")[2]
    is_packed = kind == b"zTXt"
    if kind == b"tEXt":
        return text
    if kind == b"iTXt":
        is_packed = text[:1] == b"\1"
        text = text[2:].partition(b"\0")[2].partition(b"\0")[2]
    else:
        text = text[1:]
    return unpack(text) or b"" if is_packed else text


def unpack(data: bytes) -> bytes | None:
    """Return zlib's data, ``None`` if they are damaged or too many."""
    try:
        unpacker = zlib.decompressobj()
        unpacked = unpacker.decompress(data, MAX_META_BYTES)
    except zlib.error:
        return None
    return unpacked if unpacker.eof else None


def _unhexed(text: bytes) -> bytes | None:
    """Return the EXIF data of ImageMagick's text: name, length, hexadecimal digits."""
    try:
        return bytes.fromhex("".join(text.decode("ascii").split()[2:]))
    except ValueError:
        return None


def _default_image(chunks: list[Chunk], found: PngChunks) -> list[Span | bytes]:
    """Return IHDR, palette, transparency and data, with the heads and checksums they have."""
    parts: list[Span | bytes] = [_chunk(b"IHDR", found.header)]
    for chunk in chunks:
        if chunk.kind in (b"PLTE", b"IDAT") or _is_transparency(chunk, found):
            whole = Span(chunk.span.start - 8, chunk.span.size + 12)
            last = parts[-1]
            if isinstance(last, Span) and last.start + last.size == whole.start:
                parts[-1] = Span(last.start, last.size + whole.size)
            else:
                parts.append(whole)
    return parts


def _first_frame(
    file: BinaryIO, chunks: list[Chunk], found: PngChunks
) -> list[Span | bytes] | None:
    """Return the first frame of an animation as an image, ``None`` if the default image is."""
    kinds = [chunk.kind for chunk in chunks]
    if b"fcTL" not in kinds or b"IDAT" not in kinds or b"fdAT" not in kinds:
        return None
    first = kinds.index(b"fcTL")
    if first < kinds.index(b"IDAT") or chunks[first].span.size != 26:
        return None
    control = _data(file, chunks[first])
    width, height, left, top = struct.unpack(">4I", control[4:20])
    if left + width > found.size[0] or top + height > found.size[1]:
        return None
    found.canvas_px, found.place = found.size, (left, top)
    header = struct.pack(">II", width, height) + found.header[8:]
    parts: list[Span | bytes] = [_chunk(b"IHDR", header)]
    for chunk in chunks[:first]:
        if chunk.kind == b"PLTE" or _is_transparency(chunk, found):
            parts.append(Span(chunk.span.start - 8, chunk.span.size + 12))
    for chunk in chunks[first + 1 :]:
        if chunk.kind == b"fcTL":
            break
        if chunk.kind == b"fdAT" and chunk.span.size >= 4:
            size = chunk.span.size - 4
            # Pillow does not look at the checksum of data.
            parts += [
                struct.pack(">I4s", size, b"IDAT"),
                Span(chunk.span.start + 4, size),
                bytes(4),
            ]
    return parts


def _is_transparency(chunk: Chunk, found: PngChunks) -> bool:
    return chunk.kind == b"tRNS" and chunk.span.size in _TRANSPARENCY.get(found.header[9], ())


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

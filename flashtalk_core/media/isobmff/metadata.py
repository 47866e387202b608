"""Texts stored in an MP4, by any names, and replacing them without touching the media data.

Source: QuickTime File Format, "Metadata"; the boxes lie where FFmpeg's ``use_metadata_tags``
puts them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .border import box_border
from .boxes import BoxSpan, box, child, child_boxes, copy_bytes, file_boxes, full_box, read_payload

_UTF8_TEXT = 1
_CHUNK_OFFSETS = {b"stco": ">u4", b"co64": ">u8"}
_AROUND_CHUNK_OFFSETS = (b"trak", b"mdia", b"minf", b"stbl")


def metadata_box(metadata: Mapping[str, str]) -> bytes:
    """Build the ``udta`` box that holds ``metadata``."""
    names = [box(b"mdta", name.encode()) for name in metadata]
    values = [
        box(struct.pack(">I", number), box(b"data", struct.pack(">2I", _UTF8_TEXT, 0), text))
        for number, text in enumerate((text.encode() for text in metadata.values()), start=1)
    ]
    handler = full_box(b"hdlr", 0, 0, struct.pack(">I4s12xx", 0, b"mdta"))
    keys = full_box(b"keys", 0, 0, struct.pack(">I", len(names)), *names)
    return box(b"udta", full_box(b"meta", 0, 0, handler, keys, box(b"ilst", *values)))


def is_plain_mp4(path: Path) -> bool:
    """Return whether a file is an MP4 with one index and no fragments."""
    with box_border(path), path.open("rb") as file:
        spans = list(file_boxes(file))
        if not spans or spans[0].kind != b"ftyp" or read_payload(file, spans[0])[:4] == b"qt  ":
            return False
        indices = [read_payload(file, span) for span in spans if span.kind == b"moov"]
    return len(indices) == 1 and not child(indices[0], b"mvex")


def replace_metadata(source: Path, target: Path, metadata: Mapping[str, str]) -> None:
    """Copy a plain MP4 with other metadata; nothing else about it changes.

    Raises:
        OSError: If a file cannot be read or written, or the source gets shorter meanwhile.
        InvalidInputError: If the source is damaged.
    """
    with box_border(source), source.open("rb") as reader, target.open("wb") as writer:
        for span in file_boxes(reader):
            if span.kind == b"moov":
                writer.write(_new_index(read_payload(reader, span), span, metadata))
            else:
                copy_bytes(reader, writer, span.start, span.stop - span.start)


def _new_index(moov: bytes, span: BoxSpan, metadata: Mapping[str, str]) -> bytes:
    # The size of the index does not depend on the offsets in it.
    growth = len(_index(moov, span, metadata, 0)) - (span.stop - span.start)
    return _index(moov, span, metadata, growth)


def _index(moov: bytes, span: BoxSpan, metadata: Mapping[str, str], growth: int) -> bytes:
    parts = [
        _moved(kind, payload, span.start, growth)
        for kind, payload in child_boxes(moov)
        if kind not in (b"udta", b"meta")
    ]
    return box(b"moov", *parts, metadata_box(metadata))


def _moved(kind: bytes, payload: bytes, index_start: int, growth: int) -> bytes:
    """Rebuild a box for media data that move by ``growth`` bytes if they lie behind the index."""
    if kind in _AROUND_CHUNK_OFFSETS:
        inner = (_moved(*found, index_start, growth) for found in child_boxes(payload))
        return box(kind, *inner)
    if kind not in _CHUNK_OFFSETS:
        return box(kind, payload)
    offsets = np.frombuffer(payload, _CHUNK_OFFSETS[kind], offset=8).astype(np.int64)
    offsets += np.where(offsets > index_start, growth, 0)
    # 64 bits always: what moves may cross 4 GiB.
    return full_box(b"co64", 0, 0, payload[4:8], offsets.astype(">u8").tobytes())

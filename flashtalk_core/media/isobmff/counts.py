"""Counts of an MP4 index, looked at before FFmpeg reserves memory for what they promise.

A table that is not there needs no bytes: a sample size for all, or a fragment without sizes, may
count billions of samples in a file of a few kilobytes.

Source: ISO/IEC 14496-12, ``stsz`` and ``trun``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .boxes import BoxSpan

_INSIDE = frozenset((b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"))
_MAX_DEPTH = 10
"""FFmpeg's own."""
_HEAD_BYTES = 16


def surplus_samples(path: Path) -> int:
    """Return how many samples an MP4 promises, if those are more than it has bytes; else 0.

    What is no MP4 has none. Each sample has a byte at least, and FFmpeg takes 12 for it at once.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        found = sum(_counts(file, 0, size, 0))
    return found if found > size else 0


def _counts(file: BinaryIO, start: int, stop: int, depth: int) -> Iterator[int]:
    for span in _spans(file, start, stop):
        if span.kind in _INSIDE and depth < _MAX_DEPTH:
            yield from _counts(file, span.payload, span.stop, depth + 1)
        elif span.kind in (b"stsz", b"trun"):
            file.seek(span.payload)
            head = file.read(min(12, span.stop - span.payload))
            if span.kind == b"stsz" and len(head) == 12:
                size, count = struct.unpack_from(">II", head, 4)
                # One byte is how raw audio is counted, which FFmpeg reads by the chunk.
                yield count if size else 0
            elif span.kind == b"trun" and len(head) >= 8:
                yield struct.unpack_from(">I", head, 4)[0]


def _spans(file: BinaryIO, start: int, stop: int) -> Iterator[BoxSpan]:
    """Walk boxes as FFmpeg does: one that is too long ends where its parent does."""
    while start + 8 <= stop:
        file.seek(start)
        head = file.read(_HEAD_BYTES)
        if len(head) < 8:
            return
        size, kind = struct.unpack_from(">I4s", head)
        payload = start + 8
        if size == 1 and len(head) == _HEAD_BYTES:
            size, payload = struct.unpack_from(">Q", head, 8)[0], start + _HEAD_BYTES
        elif size == 0:
            size = stop - start
        if size < payload - start:
            return
        end = min(start + size, stop)
        yield BoxSpan(kind, start, payload, end)
        start = end

"""Boxes of the ISO base media file format (MP4): walking and building them.

Source: ISO/IEC 14496-12.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_COPY_BYTES = 1 << 20


class BoxSpan(NamedTuple):
    """Where a box of a file lies, in bytes."""

    kind: bytes
    start: int
    payload: int
    stop: int


def file_boxes(file: BinaryIO) -> Iterator[BoxSpan]:
    """Walk the outermost boxes; one that was cut short ends the walk."""
    end = file.seek(0, 2)
    start = 0
    while start + 8 <= end:
        file.seek(start)
        head = file.read(16)
        span = _span(head, start, end)
        if span.stop > end:
            return
        yield span
        start = span.stop


def has_whole_fragment(path: Path) -> bool:
    """Return whether there is a part in a file that plays; ``False`` if it is not there.

    What cannot be looked into at this moment counts as something that plays.
    """
    try:
        with path.open("rb") as file:
            return any(span.kind == b"mdat" for span in file_boxes(file))
    except FileNotFoundError:
        return False
    except OSError:
        return True


def cut_to_whole_fragments(path: Path) -> bool:
    """Drop a fragment that was cut short by a full disk from the end of a file.

    Returns:
        Whether there is a whole fragment in it.
    """
    has_fragment, whole = False, 0
    with path.open("r+b") as file:
        for span in file_boxes(file):
            if span.kind == b"moof":
                continue  # it means nothing without the data behind it
            has_fragment |= span.kind == b"mdat"
            whole = span.stop
        file.truncate(whole)
    return has_fragment


def read_payload(file: BinaryIO, span: BoxSpan) -> bytes:
    """Return what is inside a box."""
    file.seek(span.payload)
    return file.read(span.stop - span.payload)


def copy_bytes(reader: BinaryIO, writer: BinaryIO, start: int, size: int) -> None:
    """Append ``size`` bytes of ``reader`` from ``start`` on to ``writer``, in constant memory.

    Raises:
        OSError: If a file cannot be read or written, or ``reader`` got shorter meanwhile.
    """
    reader.seek(start)
    while size:
        chunk = reader.read(min(size, _COPY_BYTES))
        if not chunk:
            raise OSError(errno.EIO, f"the file that is copied lost its last {size} bytes")
        writer.write(chunk)
        size -= len(chunk)


def child_boxes(payload: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the payload of each box inside ``payload``."""
    start = 0
    while start + 8 <= len(payload):
        span = _span(payload[start : start + 16], start, len(payload))
        yield span.kind, payload[span.payload : span.stop]
        start = span.stop


def child(payload: bytes, *path: bytes) -> bytes:
    """Return the payload of the first box at ``path`` inside ``payload``; empty if none is."""
    for kind in path:
        payload = next((inner for found, inner in child_boxes(payload) if found == kind), b"")
    return payload


def box(kind: bytes, *parts: bytes) -> bytes:
    """Build a box."""
    size = 8 + sum(map(len, parts))
    return b"".join((struct.pack(">I4s", size, kind), *parts))


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """Build a box with version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def wide_box_head(kind: bytes, payload_size: int) -> bytes:
    """Build the head of a box that may be larger than 4 GiB."""
    return struct.pack(">I4sQ", 1, kind, 16 + payload_size)


def _span(head: bytes, start: int, end: int) -> BoxSpan:
    size, kind = struct.unpack_from(">I4s", head)
    payload = start + 8
    if size == 1 and len(head) >= 16:
        size = struct.unpack_from(">Q", head, 8)[0]
        payload = start + 16
    elif size == 0:
        size = end - start
    return BoxSpan(kind, start, payload, start + max(size, payload - start))

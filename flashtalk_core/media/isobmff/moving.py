"""A fragmented MP4 that becomes a plain one where the disk has no room for both.

Data move from the end: what is in the plain file and on the disk is cut off the fragmented one. At
any moment the two hold every frame between them, and the fragmented one still plays from the start.
"""

from __future__ import annotations

import shutil
import struct
from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...files.whole_file import sync
from .border import box_border
from .boxes import BoxSpan, child, child_boxes, copy_bytes, file_boxes, read_payload
from .defragment import build_front, handler_of, num_frames_of, track_id_of
from .fragments import FragmentedFile, read_fragments

BLOCK_BYTES = 64 << 20
"""Most bytes of media data, and a fragment, that are in both files at once."""
_FREE_SHARE = 2
"""A block takes at most the free bytes over this; other programs write, too."""


def move_to_plain_mp4(
    source: Path,
    target: Path,
    timescale_hz: int,
    durations: Mapping[bytes, int],
    block_bytes: int | None = None,
) -> int:
    """Make ``target`` a plain MP4 of the tracks of ``source``, which is empty afterwards.

    What stops it, :func:`finish_moving` finishes. See :func:`.defragment.write_plain_mp4` for the
    other arguments, what is returned and what is raised.

    Args:
        source: Fragmented MP4.
        target: File that is there.
        timescale_hz: Of the plain file.
        durations: By track.
        block_bytes: Most that is in both files at once, and a fragment; ``None`` is as much as
            the disk has room for, :data:`BLOCK_BYTES` at most.
    """
    with box_border(source), source.open("r+b") as reader, target.open("r+b") as writer:
        fragments = read_fragments(reader)
        front = build_front(fragments, timescale_hz, durations)
        writer.write(front)
        writer.truncate(len(front) + fragments.data_size)
        sync(writer.fileno())
        _move(reader, writer, len(front), fragments, block_bytes)
    return num_frames_of(fragments)


def is_moving(source: Path, target: Path) -> bool:
    """Return whether ``target`` has the data that were cut off ``source`` before it was whole."""
    try:
        with box_border(source), source.open("rb") as reader, target.open("rb") as writer:
            return _front_bytes(writer, read_fragments(reader)) is not None
    except Exception:  # whatever these files are, they are not such a pair
        return False


def finish_moving(source: Path, target: Path, block_bytes: int | None = None) -> None:
    """Finish what a stopped :func:`move_to_plain_mp4` has begun; :func:`is_moving` is true.

    Raises:
        OSError: If a file cannot be read or written.
    """
    with box_border(source), source.open("r+b") as reader, target.open("r+b") as writer:
        fragments = read_fragments(reader)
        front_bytes = _front_bytes(writer, fragments)
        assert front_bytes is not None, "the files are such a pair"
        _move(reader, writer, front_bytes, fragments, block_bytes)


def _move(
    reader: BinaryIO,
    writer: BinaryIO,
    front_bytes: int,
    fragments: FragmentedFile,
    block_bytes: int | None,
) -> None:
    """Move the data of whole fragments from the last to the first."""
    if block_bytes is None:
        block_bytes = min(BLOCK_BYTES, shutil.disk_usage(writer.name).free // _FREE_SHARE)
    ends = list(accumulate(fragments.data_sizes))
    stop = len(ends)
    while stop:
        begin_bytes = ends[stop - 1] - block_bytes
        first = min(bisect_left(ends, begin_bytes) + 1 if begin_bytes > 0 else 0, stop - 1)
        for index in range(first, stop):
            start, size = fragments.data_starts[index], fragments.data_sizes[index]
            writer.seek(front_bytes + ends[index] - size)
            copy_bytes(reader, writer, start, size)
        writer.flush()
        sync(writer.fileno())
        # The head of a fragment without its data is dropped by whoever reads the file.
        reader.truncate(fragments.data_starts[first])
        sync(reader.fileno())
        stop = first


def _front_bytes(writer: BinaryIO, fragments: FragmentedFile) -> int | None:
    """Return where the media data of a plain file begin; ``None`` unless it is of ``fragments``."""
    boxes = {span.kind: span for span in file_boxes(writer)}
    if not {b"moov", b"mdat"} <= boxes.keys():
        return None
    moov = read_payload(writer, boxes[b"moov"])
    traks = [payload for kind, payload in child_boxes(moov) if kind == b"trak"]
    sizes = {handler_of(trak): _sample_sizes(trak) for trak in traks}
    for trak in (payload for kind, payload in child_boxes(fragments.head) if kind == b"trak"):
        found = np.frombuffer(fragments.tracks[track_id_of(trak)].sizes, np.uint32)
        if not np.array_equal(sizes[handler_of(trak)][: len(found)], found):
            return None
    return _payload_start(boxes[b"mdat"], sum(int(each.sum()) for each in sizes.values()))


def _payload_start(mdat: BoxSpan, data_size: int) -> int | None:
    return mdat.payload if mdat.stop - mdat.payload == data_size else None


def _sample_sizes(trak: bytes) -> np.ndarray:
    """Return the size of each sample of a plain track, bytes."""
    table = child(trak, b"mdia", b"minf", b"stbl", b"stsz")
    _, count = struct.unpack_from(">2I", table, 4)
    return np.frombuffer(table, ">u4", count, 12)

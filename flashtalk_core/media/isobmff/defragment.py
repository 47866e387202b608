"""Turning the fragmented MP4 of a render into a plain one that starts to play at once.

FFmpeg could do this, but holds some 100 bytes in memory for each frame and audio packet and
rounds the ends of the tracks to milliseconds. Here it is 4 bytes, and exact to the sample.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .border import box_border
from .boxes import box, child, child_boxes, copy_bytes, full_box, wide_box_head
from .fragments import FragmentedFile, TrackTable, read_fragments

_FILE_TYPE = box(b"ftyp", b"isom", struct.pack(">I", 512), b"isomiso2avc1mp41")


def write_plain_mp4(
    source: Path, target: Path, timescale_hz: int, durations: Mapping[bytes, int]
) -> int:
    """Write the tracks of a fragmented file as a plain one with its index in front.

    Args:
        source: Fragmented MP4.
        target: File to write.
        timescale_hz: Ticks a second of ``durations``.
        durations: How long each kind of track (``vide``, ``soun``) is to be played, in ticks;
            encoder padding lies behind that.

    Returns:
        Number of frames in the video track.

    Raises:
        OSError: If a file cannot be read or written, or the source gets shorter meanwhile.
        InvalidInputError: If the source is damaged.
    """
    with box_border(source), source.open("rb") as reader, target.open("wb") as writer:
        fragments = read_fragments(reader)
        writer.write(build_front(fragments, timescale_hz, durations))
        for start, size in zip(fragments.data_starts, fragments.data_sizes, strict=True):
            copy_bytes(reader, writer, start, size)
    return num_frames_of(fragments)


def build_front(
    fragments: FragmentedFile, timescale_hz: int, durations: Mapping[bytes, int]
) -> bytes:
    """Return everything of a plain file before its media data; see :func:`write_plain_mp4`."""
    # The size of the index does not depend on the offsets in it.
    size = len(_FILE_TYPE) + len(_index(fragments, 0, timescale_hz, durations)) + 16
    index = _index(fragments, size, timescale_hz, durations)
    return _FILE_TYPE + index + wide_box_head(b"mdat", fragments.data_size)


def count_fragmented_frames(source: Path, stop: int | None = None) -> int:
    """Return the number of frames in the video track of a fragmented MP4.

    Args:
        source: The file.
        stop: Bytes of it that count; ``None`` is all.

    Raises:
        OSError: If the file cannot be read.
        InvalidInputError: If it is damaged, or no fragmented MP4.
    """
    with box_border(source), source.open("rb") as reader:
        fragments = read_fragments(reader, stop)
        if not fragments.tracks:
            raise ValueError("no fragmented MP4")
        return num_frames_of(fragments)


def num_frames_of(fragments: FragmentedFile) -> int:
    """Return the frames of the video track."""
    traks = [payload for kind, payload in child_boxes(fragments.head) if kind == b"trak"]
    return sum(
        len(fragments.tracks[track_id_of(trak)].sizes)
        for trak in traks
        if handler_of(trak) == b"vide"
    )


def track_id_of(trak: bytes) -> int:
    """Return the number of a track, of the payload of its ``trak`` box."""
    return int.from_bytes(child(trak, b"tkhd")[12:16], "big")


def handler_of(trak: bytes) -> bytes:
    """Return the kind of a track, ``vide`` or ``soun``."""
    return child(trak, b"mdia", b"hdlr")[8:12]


def _index(
    fragments: FragmentedFile, front: int, timescale_hz: int, durations: Mapping[bytes, int]
) -> bytes:
    """Build the ``moov`` box for media data that start at byte ``front``."""
    parts = []
    for kind, payload in child_boxes(fragments.head):
        if kind == b"mvhd":
            longest = max(durations.values())
            parts.append(_with_duration(b"mvhd", payload, 12, longest, timescale_hz))
        elif kind == b"trak":
            parts.append(_track(payload, fragments.tracks, front, durations))
        elif kind != b"mvex":
            parts.append(box(kind, payload))
    return box(b"moov", *parts)


def _track(
    trak: bytes, tracks: Mapping[int, TrackTable], front: int, durations: Mapping[bytes, int]
) -> bytes:
    header = child(trak, b"tkhd")
    table = tracks[track_id_of(trak)]
    shown = durations[handler_of(trak)]
    edits = child(trak, b"edts", b"elst")
    first_tick = struct.unpack_from(">i", edits, 12)[0] if edits else 0
    edit = full_box(b"elst", 1, 0, struct.pack(">IQqI", 1, shown, first_tick, 0x10000))
    return box(
        b"trak",
        _with_duration(b"tkhd", header, 16, shown),
        box(b"edts", edit),
        _media(child(trak, b"mdia"), table, front),
    )


def _media(mdia: bytes, table: TrackTable, front: int) -> bytes:
    ticks = sum(count * duration for count, duration in table.durations)
    parts = []
    for kind, payload in child_boxes(mdia):
        if kind == b"mdhd":
            parts.append(_with_duration(b"mdhd", payload, 12, ticks))
        elif kind == b"minf":
            parts.append(_media_information(payload, table, front))
        else:
            parts.append(box(kind, payload))
    return box(b"mdia", *parts)


def _media_information(minf: bytes, table: TrackTable, front: int) -> bytes:
    parts = []
    for kind, payload in child_boxes(minf):
        if kind == b"stbl":
            description = box(b"stsd", child(payload, b"stsd"))
            parts.append(box(b"stbl", description, *_sample_tables(table, front)))
        else:
            parts.append(box(kind, payload))
    return box(b"minf", *parts)


def _sample_tables(table: TrackTable, front: int) -> list[bytes]:
    sizes = np.frombuffer(table.sizes, np.uint32)
    offsets = np.frombuffer(table.chunk_offsets, np.uint64) + np.uint64(front)
    tables = [
        _table(b"stts", np.array(table.durations)),
        _table(b"stsc", _chunk_runs(table)),
        full_box(b"stsz", 0, 0, struct.pack(">2I", 0, len(sizes)), sizes.astype(">u4").tobytes()),
        full_box(b"co64", 0, 0, struct.pack(">I", len(offsets)), offsets.astype(">u8").tobytes()),
    ]
    if len(table.key_samples) < len(sizes):
        tables.append(_table(b"stss", np.frombuffer(table.key_samples, np.uint32)))
    return tables


def _chunk_runs(table: TrackTable) -> np.ndarray:
    """Return rows of (first chunk, samples in each, description), one where the count changes."""
    counts = np.frombuffer(table.chunk_samples, np.uint32)
    first = np.concatenate([[0], np.flatnonzero(np.diff(counts)) + 1])
    return np.stack([first + 1, counts[first], np.ones_like(first)], axis=1)


def _table(kind: bytes, rows: np.ndarray) -> bytes:
    return full_box(kind, 0, 0, struct.pack(">I", len(rows)), rows.astype(">u4").tobytes())


def _with_duration(
    kind: bytes, payload: bytes, position: int, duration: int, timescale_hz: int | None = None
) -> bytes:
    """Rebuild a header in its 64-bit form with another duration, and timescale if given.

    ``position`` is where the 4 bytes before the duration (timescale or track id, and for
    ``tkhd`` 4 reserved ones) begin in the 32-bit form.
    """
    flags, created, modified = struct.unpack_from(">3I", payload)
    if flags >> 24:
        raise ValueError("the muxer writes 32-bit headers")
    between = payload[12 : position + 4]
    if timescale_hz is not None:
        between = struct.pack(">I", timescale_hz)
    times = struct.pack(">2Q", created, modified)
    rest = payload[position + 8 :]
    return full_box(kind, 1, flags & 0xFFFFFF, times, between, struct.pack(">Q", duration), rest)

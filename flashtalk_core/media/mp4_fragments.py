"""Sample tables of a fragmented MP4, gathered in a few bytes for each sample."""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .mp4_boxes import BoxSpan, child, child_boxes, file_boxes, read_payload

# Optional fields of a track fragment's header, in order: (flag, bytes).
_HEADER_FIELDS = ((0x1, 8), (0x2, 4), (0x8, 4), (0x10, 4), (0x20, 4))
# Optional fields of each sample in a run, in order.
_DURATION, _SIZE, _FLAGS, _OFFSET = 0x100, 0x200, 0x400, 0x800
_NOT_A_KEY_FRAME = 0x10000


@dataclass
class TrackTable:
    """Samples of one track in the order they are stored."""

    defaults: tuple[int, int, int]
    """Duration, size and flags of a sample that states none."""
    sizes: array[int] = field(default_factory=lambda: array("I"))
    durations: list[list[int]] = field(default_factory=list)
    """Runs of equal duration: ``[count, ticks]``."""
    key_samples: array[int] = field(default_factory=lambda: array("I"))
    """Samples decoding can start at, counted from 1."""
    chunk_offsets: array[int] = field(default_factory=lambda: array("Q"))
    """Start of each contiguous run of samples, from the start of all media data."""
    chunk_samples: array[int] = field(default_factory=lambda: array("I"))

    def add_durations(self, ticks: NDArray[np.uint32]) -> None:
        """Append the durations of the next samples."""
        borders = np.flatnonzero(np.diff(ticks)) + 1
        for run in np.split(ticks, borders):
            if self.durations and self.durations[-1][1] == run[0]:
                self.durations[-1][0] += len(run)
            else:
                self.durations.append([len(run), int(run[0])])


@dataclass
class FragmentedFile:
    """What a fragmented MP4 holds: its head, the tables of its tracks, where the data lie."""

    head: bytes
    """Payload of the ``moov`` box."""
    tracks: dict[int, TrackTable]
    data: list[tuple[int, int]]
    """Start and size of the media data of each fragment."""

    @property
    def data_size(self) -> int:
        """Bytes of media data."""
        return sum(size for _, size in self.data)


def read_fragments(file: BinaryIO) -> FragmentedFile:
    """Read the tables of all whole fragments in ``file``."""
    head, tracks, data = b"", dict[int, TrackTable](), list[tuple[int, int]]()
    moof: BoxSpan | None = None
    data_size = 0
    for span in file_boxes(file):
        if span.kind == b"moov":
            head = read_payload(file, span)
            tracks = _tracks(head)
        elif span.kind == b"moof":
            moof = span
        elif span.kind == b"mdat" and moof is not None:
            # Offsets in a fragment count from its moof box.
            shift = data_size - (span.payload - moof.start)
            _add_fragment(tracks, read_payload(file, moof), shift)
            data.append((span.payload, span.stop - span.payload))
            data_size += span.stop - span.payload
            moof = None
    return FragmentedFile(head, tracks, data)


def _tracks(head: bytes) -> dict[int, TrackTable]:
    tracks = {}
    for kind, payload in child_boxes(child(head, b"mvex")):
        if kind == b"trex":
            _, track_id, _, duration, size, flags = struct.unpack(">6I", payload)
            tracks[track_id] = TrackTable((duration, size, flags))
    return tracks


def _add_fragment(tracks: dict[int, TrackTable], moof: bytes, shift: int) -> None:
    for kind, traf in child_boxes(moof):
        if kind != b"traf":
            continue
        track_id, defaults = _fragment_header(child(traf, b"tfhd"), tracks)
        for inner, run in child_boxes(traf):
            if inner == b"trun":
                _add_run(tracks[track_id], run, defaults, shift)


def _fragment_header(
    header: bytes, tracks: dict[int, TrackTable]
) -> tuple[int, tuple[int, int, int]]:
    flags, track_id = struct.unpack_from(">2I", header)
    assert not flags & 0x1, "data offsets must count from the fragment"
    found, position = {}, 8
    for flag, size in _HEADER_FIELDS:
        if flags & flag:
            found[flag] = int.from_bytes(header[position : position + size], "big")
            position += size
    duration, size, sample_flags = tracks[track_id].defaults
    return track_id, (
        found.get(0x8, duration),
        found.get(0x10, size),
        found.get(0x20, sample_flags),
    )


def _add_run(track: TrackTable, run: bytes, defaults: tuple[int, int, int], shift: int) -> None:
    flags, count, offset = struct.unpack_from(">2Ii", run)
    assert flags & 0x1, "a run must state where its data start"
    assert not flags & _OFFSET, "frames must be stored in the order they are shown"
    if not count:
        return
    position = 12
    first_flags = None
    if flags & 0x4:
        first_flags = struct.unpack_from(">I", run, position)[0]
        position += 4
    present = [flag for flag in (_DURATION, _SIZE, _FLAGS) if flags & flag]
    table = np.frombuffer(run, ">u4", count * len(present), position).reshape(count, -1)
    columns = dict(zip(present, table.T, strict=True))
    duration, size, sample_flags = (
        columns.get(flag, np.full(count, default)).astype(np.uint32)
        for flag, default in zip((_DURATION, _SIZE, _FLAGS), defaults, strict=True)
    )
    if first_flags is not None:
        sample_flags[0] = first_flags
    keys = np.flatnonzero((sample_flags & _NOT_A_KEY_FRAME) == 0) + len(track.sizes) + 1
    track.key_samples.frombytes(keys.astype(np.uint32).tobytes())
    track.sizes.frombytes(size.tobytes())
    track.add_durations(duration)
    track.chunk_offsets.append(shift + offset)
    track.chunk_samples.append(count)

"""Sample tables of a fragmented MP4, gathered in a few bytes for each sample."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from .boxes import BoxSpan, child, child_boxes, file_boxes, read_payload

# Optional fields of a track fragment's header, in order: (flag, bytes).
_HEADER_FIELDS = ((0x1, 8), (0x2, 4), (0x8, 4), (0x10, 4), (0x20, 4))
# Optional fields of each sample in a run, in order.
_DURATION, _SIZE, _FLAGS, _OFFSET = 0x100, 0x200, 0x400, 0x800
_STATES_OFFSET, _STATES_FIRST_FLAGS = 0x1, 0x4
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

    def add(self, duration: int, size: int, flags: int) -> None:
        """Append a sample."""
        self.sizes.append(size)
        if self.durations and self.durations[-1][1] == duration:
            self.durations[-1][0] += 1
        else:
            self.durations.append([1, duration])
        if not flags & _NOT_A_KEY_FRAME:
            self.key_samples.append(len(self.sizes))


@dataclass
class FragmentedFile:
    """What a fragmented MP4 holds: its head, the tables of its tracks, where the data lie."""

    head: bytes
    """Payload of the ``moov`` box."""
    tracks: dict[int, TrackTable]
    data_starts: array[int]
    """Start of the media data of each fragment."""
    data_sizes: array[int]
    """Bytes of them."""

    @property
    def data_size(self) -> int:
        """Bytes of media data."""
        return sum(self.data_sizes)


def read_fragments(file: BinaryIO, stop: int | None = None) -> FragmentedFile:
    """Read the tables of all whole fragments in ``file``.

    Args:
        file: Fragmented MP4.
        stop: Fragments that end behind this byte are left out; ``None`` takes all.

    Raises:
        OSError: If the file cannot be read. What damage leads to may be any other error.
    """
    found = FragmentedFile(b"", {}, array("Q"), array("Q"))
    moof: BoxSpan | None = None
    data_size = 0
    for span in file_boxes(file):
        if stop is not None and span.stop > stop:
            break
        if span.kind == b"moov":
            found.head = read_payload(file, span)
            found.tracks = _tracks(found.head)
        elif span.kind == b"moof":
            moof = span
        elif span.kind == b"mdat" and moof is not None:
            # Offsets in a fragment count from its moof box.
            size, before = span.stop - span.payload, span.payload - moof.start
            _add_fragment(found.tracks, read_payload(file, moof), before, size, data_size)
            found.data_starts.append(span.payload)
            found.data_sizes.append(size)
            data_size += size
            moof = None
    return found


def _tracks(head: bytes) -> dict[int, TrackTable]:
    tracks = {}
    for kind, payload in child_boxes(child(head, b"mvex")):
        if kind == b"trex":
            _, track_id, _, duration, size, flags = struct.unpack(">6I", payload)
            tracks[track_id] = TrackTable((duration, size, flags))
    return tracks


def _add_fragment(
    tracks: dict[int, TrackTable], moof: bytes, before: int, size: int, data_size: int
) -> None:
    """Append the samples of a fragment.

    Args:
        tracks: By their ids.
        moof: Payload of the fragment's box.
        before: Bytes from the start of that box to the media data.
        size: Bytes of the fragment's media data.
        data_size: Bytes of the media data of all fragments before.
    """
    for kind, traf in child_boxes(moof):
        if kind != b"traf":
            continue
        track_id, defaults = _fragment_header(child(traf, b"tfhd"), tracks)
        for inner, run in child_boxes(traf):
            if inner == b"trun":
                offset = _add_run(tracks[track_id], run, defaults, size) - before
                track = tracks[track_id]
                num_samples = track.chunk_samples[-1]
                stop = offset + sum(track.sizes[-num_samples:])
                _check(offset >= 0 and stop <= size, "samples lie outside the media data")
                track.chunk_offsets.append(data_size + offset)


def _fragment_header(
    header: bytes, tracks: dict[int, TrackTable]
) -> tuple[int, tuple[int, int, int]]:
    flags, track_id = struct.unpack_from(">2I", header)
    _check(not flags & 0x1, "data offsets do not count from the fragment")
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


def _add_run(
    track: TrackTable, run: bytes, defaults: tuple[int, int, int], most_samples: int
) -> int:
    """Append the samples of a run, and return where its data start, counted from the fragment."""
    flags, count, offset = struct.unpack_from(">2Ii", run)
    _check(bool(flags & _STATES_OFFSET), "a run does not state where its data start")
    _check(not flags & _OFFSET, "frames are not stored in the order they are shown")
    _check(0 < count <= most_samples, f"{count} samples in {most_samples} bytes")
    for sample in _samples(run, flags, count, defaults):
        track.add(*sample)
    track.chunk_samples.append(count)
    return int(offset)


def _samples(
    run: bytes, flags: int, count: int, defaults: tuple[int, int, int]
) -> Iterator[tuple[int, int, int]]:
    """Yield duration, size and flags of each sample of a run."""
    position = 12
    first_flags = None
    if flags & _STATES_FIRST_FLAGS:
        first_flags = struct.unpack_from(">I", run, position)[0]
        position += 4
    columns = [index for index, flag in enumerate((_DURATION, _SIZE, _FLAGS)) if flags & flag]
    row = struct.Struct(f">{len(columns)}I")
    for number in range(count):
        sample = list(defaults)
        if not number and first_flags is not None:
            sample[2] = first_flags
        for index, value in zip(columns, row.unpack_from(run, position), strict=True):
            sample[index] = value
        position += row.size
        yield sample[0], sample[1], sample[2]


def _check(is_right: bool, problem: str) -> None:
    if not is_right:
        raise ValueError(problem)

"""Samples that become a fragment of an MP4.

Source: ISO/IEC 14496-12, and 14496-15 for H.264 in it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .boxes import box, full_box

if TYPE_CHECKING:
    from av import Packet

_START_CODE = re.compile(rb"\x00*\x00\x00\x01")
_OFFSETS_FROM_MOOF = 0x20000
_RUN_FIELDS = 0x1 | 0x100 | 0x200 | 0x400
"""Where the data start; duration, size and flags of each sample."""
_KEY_FRAME, _OTHER_FRAME = 0x2000000, 0x1010000


@dataclass
class WaitingSamples:
    """Samples of one track that wait for their fragment."""

    kind: str
    """``video`` or ``audio``."""
    number: int
    """Of the track."""
    rate_hz: int
    """Ticks a second in the file."""
    start: int = 0
    """When the first sample that waits is decoded, ticks."""
    samples: list[tuple[int, int, int]] = field(default_factory=list)
    """Duration in ticks, size in bytes and flags."""
    data: list[bytes] = field(default_factory=list)

    @property
    def starts_with_key(self) -> bool:
        """Whether decoding of video can start with the first sample."""
        return self.kind == "video" and self.samples[0][2] == _KEY_FRAME

    def ticks(self, value: int, packet: Packet) -> int:
        """Return a time of a packet in the file's ticks."""
        assert packet.time_base
        return round(value * packet.time_base * self.rate_hz)

    def add(self, packet: Packet) -> None:
        """Append a packet of this track."""
        is_video = self.kind == "video"
        data = with_lengths(bytes(packet)) if is_video else bytes(packet)
        ticks = self.ticks(packet.duration or 0, packet)
        self.add_sample(data, ticks, is_key=packet.is_keyframe or not is_video)

    def add_sample(self, data: bytes, ticks: int, *, is_key: bool) -> None:
        """Append a sample as a file holds it, ``ticks`` long."""
        self.samples.append((ticks, len(data), _KEY_FRAME if is_key else _OTHER_FRAME))
        self.data.append(data)

    def clear(self) -> None:
        """Drop what waits: it is in a fragment. The next sample follows it."""
        self.start += sum(duration for duration, _, _ in self.samples)
        self.samples, self.data = [], []


def with_lengths(annex_b: bytes) -> bytes:
    """Return an H.264 frame with its NAL units prefixed by their lengths instead of start codes."""
    return b"".join(struct.pack(">I", len(part)) + part for part in nal_units(annex_b))


def nal_units(annex_b: bytes) -> list[bytes]:
    """Return the NAL units of an H.264 stream with start codes."""
    return [part for part in _START_CODE.split(annex_b) if part]


def build_fragment(number: int, tracks: Sequence[WaitingSamples]) -> bytes:
    """Return the boxes ``moof`` and ``mdat`` of everything that waits.

    Args:
        number: Of the fragment, from 1.
        tracks: Each has samples.
    """
    data = [b"".join(track.data) for track in tracks]
    size = len(_movie_fragment(number, tracks, [0] * len(tracks)))
    offsets = [size + 8 + sum(map(len, data[:index])) for index in range(len(tracks))]
    return _movie_fragment(number, tracks, offsets) + box(b"mdat", *data)


def _movie_fragment(number: int, tracks: Sequence[WaitingSamples], offsets: list[int]) -> bytes:
    """Build a ``moof`` box; offsets count from its start."""
    runs = [_track_fragment(track, offset) for track, offset in zip(tracks, offsets, strict=True)]
    return box(b"moof", full_box(b"mfhd", 0, 0, struct.pack(">I", number)), *runs)


def _track_fragment(track: WaitingSamples, offset: int) -> bytes:
    samples = b"".join(struct.pack(">3I", *sample) for sample in track.samples)
    return box(
        b"traf",
        full_box(b"tfhd", 0, _OFFSETS_FROM_MOOF, struct.pack(">I", track.number)),
        full_box(b"tfdt", 1, 0, struct.pack(">Q", track.start)),
        full_box(b"trun", 0, _RUN_FIELDS, struct.pack(">Ii", len(track.samples), offset), samples),
    )

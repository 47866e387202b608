"""A fragmented MP4 whose every frame is handed out at once, and that can be continued later.

FFmpeg's muxer gives a fragment out only when a packet of the next one comes, and what it counts is
lost with its process. It writes the head alone, which knows the delay of the audio encoder.

Source: ISO/IEC 14496-12.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO, Self

from .boxes import child, child_boxes, file_boxes
from .defragment import handler_of, track_id_of
from .fragments import read_fragments
from .samples import WaitingSamples, build_fragment

if TYPE_CHECKING:
    from av import Packet

_KINDS = {b"vide": "video", b"soun": "audio"}


def whole_head(start: bytes) -> bytes:
    """Return the boxes up to ``moov`` from the start of a file; empty if it is not whole yet."""
    for span in file_boxes(io.BytesIO(start)):
        if span.kind == b"moov":
            return start[: span.stop]
    return b""


class FragmentWriter:
    """Turns packets into fragments: one for each frame, with the audio before it."""

    def __init__(self, head: bytes) -> None:
        """Begin a file.

        Args:
            head: The boxes ``ftyp`` and ``moov`` that the file begins with.
        """
        moov = next(payload for kind, payload in child_boxes(head) if kind == b"moov")
        self._tracks = {track.kind: track for track in _tracks_of(moov)}
        self._num_fragments = 0
        self.num_samples = dict.fromkeys(self._tracks, 0)
        """Packets in the file, by ``video`` and ``audio``."""

    @classmethod
    def after(cls, file: BinaryIO) -> Self:
        """Continue behind the whole fragments of ``file``.

        Raises:
            OSError: If the file cannot be read. What damage leads to may be any other error.
        """
        found = read_fragments(file)
        file.seek(0)
        writer = cls(whole_head(file.read(found.data_starts[0])))
        for track in writer._tracks.values():
            table = found.tracks[track.number]
            track.start = sum(count * ticks for count, ticks in table.durations)
            writer.num_samples[track.kind] = len(table.sizes)
        writer._num_fragments = len(found.data_starts)
        return writer

    def add(self, packet: Packet) -> bytes:
        """Return the fragment that ends with ``packet``, empty for audio, which waits."""
        kind = packet.stream.type
        self._tracks[kind].add(packet)
        return self._counted(kind)

    def add_stored(self, kind: str, data: bytes, duration_s: Fraction, *, is_key: bool) -> bytes:
        """Return the fragment that ends with a sample of another file; see :meth:`add`."""
        track = self._tracks[kind]
        track.add_sample(data, round(duration_s * track.rate_hz), is_key=is_key)
        return self._counted(kind)

    def _counted(self, kind: str) -> bytes:
        self.num_samples[kind] += 1
        return self.rest() if kind == "video" else b""

    def rest(self) -> bytes:
        """Return what waits as a fragment, empty if nothing does."""
        filled = [track for track in self._tracks.values() if track.samples]
        if not filled:
            return b""
        self._num_fragments += 1
        fragment = build_fragment(self._num_fragments, filled)
        for track in filled:
            track.clear()
        return fragment


def _tracks_of(moov: bytes) -> Iterator[WaitingSamples]:
    for kind, trak in child_boxes(moov):
        if kind == b"trak":
            rate_hz = int.from_bytes(child(trak, b"mdia", b"mdhd")[12:16], "big")
            yield WaitingSamples(_KINDS[handler_of(trak)], track_id_of(trak), rate_hz)

"""The packets of a video a second time, as fragments a browser can play at once.

FFmpeg's own muxer writes such files, but hands a fragment out only when a packet of the next one
comes: the last frames of a chunk would wait for the next chunk. Here it writes the head alone.

Source: ISO/IEC 14496-12, and 14496-15 for H.264 in it.
"""

from __future__ import annotations

import io
import logging
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ...log import printable_log
from .boxes import box, full_box

if TYPE_CHECKING:
    from av import Packet
    from av.stream import Stream

_log = printable_log(logging.getLogger(__name__))

FRAGMENT_FRAMES = 4
"""Frames of a fragment, 160 ms at 25 a second. Every chunk holds whole fragments."""

_HEAD_OPTIONS = {"movflags": "empty_moov+default_base_moof"}
_TICKS_PER_FRAME = 512
_START_CODE = re.compile(rb"\x00*\x00\x00\x01")
_OFFSETS_FROM_MOOF = 0x20000
_RUN_FIELDS = 0x1 | 0x100 | 0x200 | 0x400
"""Where the data start; duration, size and flags of each sample."""
_KEY_FRAME, _OTHER_FRAME = 0x2000000, 0x1010000


class LiveSink(Protocol):
    """Takes the fragments."""

    def begin(self, head: bytes) -> None:
        """Take the head of the file."""
        ...

    def add(self, data: bytes, start_ms: int, *, is_key: bool) -> None:
        """Take a fragment; decoding can start with it if ``is_key``."""
        ...

    def close(self) -> None:
        """Nothing follows."""
        ...


@dataclass
class _Track:
    """Samples of one track that wait for their fragment."""

    stream: Stream
    number: int
    rate_hz: int
    """Ticks a second in the file."""
    start: int = 0
    samples: list[tuple[int, int, int]] = field(default_factory=list)
    """Duration in ticks, size in bytes and flags."""
    data: list[bytes] = field(default_factory=list)

    def ticks(self, value: int, packet: Packet) -> int:
        """Return a time of a packet in the file's ticks."""
        assert packet.time_base
        return round(value * packet.time_base * self.rate_hz)


class LiveMp4:
    """Cuts packets into fragments for a sink. What fails here ends the stream, never the render."""

    def __init__(self, sink: LiveSink) -> None:
        """Send nothing yet."""
        self._sink: LiveSink | None = sink
        self._tracks: dict[str, _Track] = {}
        self._waiting: list[Packet] = []
        self._num_fragments = 0

    def add(self, packet: Packet, streams: tuple[Stream, Stream]) -> None:
        """Take a packet; see :class:`~flashtalk_core.media.video.encoder.PacketSink`.

        Args:
            packet: Of video or audio, in the order of decoding.
            streams: The encoder's video and audio, opened by their first packets.
        """
        with self._guarded():
            self._add(packet, streams)

    def close(self) -> None:
        """Send what is left, and the end."""
        with self._guarded():
            self._send()
        self._end()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """End the stream on any error."""
        try:
            yield
        except Exception:  # the border between a render and those who watch it
            _log.exception("the live stream stops; the render goes on")
            self._end()

    def _end(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            with suppress(Exception):  # the border between a render and those who watch it
                sink.close()

    def _add(self, packet: Packet, streams: tuple[Stream, Stream]) -> None:
        if self._sink is None:
            return
        if not self._tracks:
            # Audio comes first, but only with a packet of each are both encoders open.
            self._waiting.append(packet)
            if packet.stream.type != "video":
                return
            self._begin(self._sink, streams, bytes(packet))
            waiting, self._waiting = self._waiting, []
        else:
            waiting = [packet]
        for each in waiting:
            self._take(each)

    def _begin(self, sink: LiveSink, streams: tuple[Stream, Stream], first: bytes) -> None:
        head, rates_hz = _head(streams, first)
        for number, (stream, rate_hz) in enumerate(zip(streams, rates_hz, strict=True), 1):
            self._tracks[stream.type] = _Track(stream, number, rate_hz)
        sink.begin(head)

    def _take(self, packet: Packet) -> None:
        # Audio before 0 s only fills the decoder; without it both tracks begin at 0 exactly.
        if packet.pts is None or packet.pts < 0:
            return
        is_video = packet.stream.type == "video"
        track = self._tracks[packet.stream.type]
        if is_video and packet.is_keyframe and track.samples:
            self._send()
        if not track.samples:
            track.start = track.ticks(packet.pts, packet)
        data = _with_lengths(bytes(packet)) if is_video else bytes(packet)
        flags = _KEY_FRAME if packet.is_keyframe or not is_video else _OTHER_FRAME
        duration = track.ticks(packet.duration or 0, packet)
        track.samples.append((duration, len(data), flags))
        track.data.append(data)
        if is_video and len(track.samples) == FRAGMENT_FRAMES:
            self._send()

    def _send(self) -> None:
        """Hand over everything that waits as one fragment."""
        filled = [track for track in self._tracks.values() if track.samples]
        if self._sink is None or not filled:
            return
        self._num_fragments += 1
        first = filled[0]
        start_ms = 1000 * first.start // first.rate_hz
        is_key = first.stream.type == "video" and first.samples[0][2] == _KEY_FRAME
        self._sink.add(_fragment(self._num_fragments, filled), start_ms, is_key=is_key)
        for track in filled:
            track.samples, track.data = [], []


def _head(streams: tuple[Stream, Stream], first: bytes) -> tuple[bytes, list[int]]:
    """Return ``ftyp`` and ``moov`` for the streams, and the ticks a second of each.

    Args:
        streams: Video and audio, as they are encoded.
        first: The first video packet.
    """
    import av

    video, audio = streams
    extradata = video.codec_context.extradata
    assert extradata is not None
    file = io.BytesIO()
    ticks_hz = round(_TICKS_PER_FRAME / video.codec_context.time_base)
    options = _HEAD_OPTIONS | {"video_track_timescale": str(ticks_hz)}
    # PyAV before 17 opens a second encoder, with settings of its own, for a stream like one that is
    # encoded, and puts its parameters into the head. One that is read has no encoder.
    with (
        av.open(io.BytesIO(extradata + first), format="h264") as source,
        av.open(file, "w", format="mp4", options=options) as container,
    ):
        image = container.add_stream_from_template(source.streams.video[0], opaque=True)
        added_audio = container.add_stream_from_template(audio, opaque=True)
        container.start_encoding()
        head = file.getvalue()
        return head, [
            round(1 / added.time_base) for added in (image, added_audio) if added.time_base
        ]


def _with_lengths(annex_b: bytes) -> bytes:
    """Return an H.264 frame with its NAL units prefixed by their lengths instead of start codes."""
    parts = [part for part in _START_CODE.split(annex_b) if part]
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def _fragment(number: int, tracks: list[_Track]) -> bytes:
    data = [b"".join(track.data) for track in tracks]
    size = len(_movie_fragment(number, tracks, [0] * len(tracks)))
    offsets = [size + 8 + sum(map(len, data[:index])) for index in range(len(tracks))]
    return _movie_fragment(number, tracks, offsets) + box(b"mdat", *data)


def _movie_fragment(number: int, tracks: list[_Track], offsets: list[int]) -> bytes:
    """Build a ``moof`` box; offsets count from its start."""
    runs = [_track_fragment(track, offset) for track, offset in zip(tracks, offsets, strict=True)]
    return box(b"moof", full_box(b"mfhd", 0, 0, struct.pack(">I", number)), *runs)


def _track_fragment(track: _Track, offset: int) -> bytes:
    samples = b"".join(struct.pack(">3I", *sample) for sample in track.samples)
    return box(
        b"traf",
        full_box(b"tfhd", 0, _OFFSETS_FROM_MOOF, struct.pack(">I", track.number)),
        full_box(b"tfdt", 1, 0, struct.pack(">Q", track.start)),
        full_box(b"trun", 0, _RUN_FIELDS, struct.pack(">Ii", len(track.samples), offset), samples),
    )

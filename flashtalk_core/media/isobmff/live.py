"""The packets of a video a second time, as fragments a browser can play at once.

FFmpeg's own muxer writes such files, but hands a fragment out only when a packet of the next one
comes: the last frames of a chunk would wait for the next chunk. Here it writes the head alone.

Source: ISO/IEC 14496-12, and 14496-15 for H.264 in it.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from ...log import printable_log
from .samples import WaitingSamples, build_fragment

if TYPE_CHECKING:
    from av import Packet
    from av.stream import Stream

_log = printable_log(logging.getLogger(__name__))

FRAGMENT_FRAMES = 4
"""Frames of a fragment, 160 ms at 25 a second. Every chunk holds whole fragments."""

_HEAD_OPTIONS = {"movflags": "empty_moov+default_base_moof"}
_TICKS_PER_FRAME = 512


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


class LiveMp4:
    """Cuts packets into fragments for a sink. What fails here ends the stream, never the render."""

    def __init__(self, sink: LiveSink, fragment_frames: int = FRAGMENT_FRAMES) -> None:
        """Send nothing yet; each fragment will have so many frames."""
        self._sink: LiveSink | None = sink
        self._fragment_frames = fragment_frames
        self._tracks: dict[str, WaitingSamples] = {}
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
            self._tracks[stream.type] = WaitingSamples(stream.type, number, rate_hz)
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
        track.add(packet)
        if is_video and len(track.samples) == self._fragment_frames:
            self._send()

    def _send(self) -> None:
        """Hand over everything that waits as one fragment."""
        filled = [track for track in self._tracks.values() if track.samples]
        if self._sink is None or not filled:
            return
        self._num_fragments += 1
        first = filled[0]
        start_ms = 1000 * first.start // first.rate_hz
        is_key = first.starts_with_key
        self._sink.add(build_fragment(self._num_fragments, filled), start_ms, is_key=is_key)
        for track in filled:
            track.clear()


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

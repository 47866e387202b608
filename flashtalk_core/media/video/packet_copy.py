"""Packets of a video copied into another container with FFmpeg's muxers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ...borders import library_border
from ...errors import InvalidInputError
from ...files.paths import file_url
from ..audio.decoding.tracks import decodable_tracks
from ..container import demuxed
from .matroska_delay import DELAY_PLACEHOLDER, muxer_writes_delay, write_delay
from .reading.container import open_video, unreadable, video_track

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream

_MATROSKA_OPTIONS = {"write_crc32": "0"}  # the track's entry is changed afterwards


def copy_packets(source: Path, target: Path, container: str, metadata: Mapping[str, str]) -> None:
    """Write the video and audio packets of ``source`` into ``target``.

    Args:
        source: Any video FFmpeg reads.
        target: File to write.
        container: FFmpeg's name of its format.
        metadata: Texts by any names.

    Raises:
        InvalidInputError: If there is no video in ``source``, it is damaged, or the container
            cannot hold it.
        OSError: If the file cannot be written; ``av.FFmpegError`` likewise.
    """
    import av

    # What damage leads to in a library may be any error.
    with library_border(partial(unreadable, source), passing=(OSError, av.FFmpegError)):
        _copy_packets(source, target, container, metadata)


def _copy_packets(source: Path, target: Path, container: str, metadata: Mapping[str, str]) -> None:
    import av

    with closing(open_video(source)) as reader:
        options = _MATROSKA_OPTIONS if container == "matroska" else _mp4_options(reader)
        with av.open(file_url(target), "w", format=container, options=options) as writer:
            writer.metadata.update(metadata)
            copied = _copied_streams(reader, source)
            streams = {stream.index: _add(writer, stream, source) for stream in copied}
            delay = _audio_delay(source) if container == "matroska" else None
            if delay is not None:
                streams[copied[-1].index].metadata["title"] = DELAY_PLACEHOLDER
            if not _copy(_packets(reader, copied, source), writer, streams, delay):
                raise unreadable(source, "no packet of it has a time")
    if delay is not None:
        write_delay(target, delay)


def _copied_streams(reader: InputContainer, source: Path) -> list[Stream]:
    return [video_track(source, reader), *decodable_tracks(reader)[:1]]


def _mp4_options(reader: InputContainer) -> dict[str, str]:
    options = {"movflags": "use_metadata_tags+faststart"}
    for track in decodable_tracks(reader)[:1]:
        # Counting in audio samples makes the length of the audio exact.
        rate_hz = getattr(track.codec_context, "sample_rate", 0)
        options |= {"movie_timescale": str(rate_hz)} if rate_hz else {}
    return options


def _add(writer: OutputContainer, stream: Stream, source: Path) -> Stream:
    try:
        # Opaque: PyAV 14 would open an encoder, and put its parameters into the file.
        return writer.add_stream_from_template(stream, opaque=True)
    except ValueError as error:
        raise InvalidInputError(
            f"video {source}: {writer.format.name} cannot hold its {stream.type} track; "
            "use another container"
        ) from error


def _packets(reader: InputContainer, streams: Sequence[Stream], source: Path) -> Iterator[Packet]:
    """Yield the packets; an error in here comes from the source, and a copy has all of it."""

    def refuse(why: str) -> None:
        raise unreadable(source, why)

    return demuxed(reader, streams, partial(unreadable, source), refuse)


def _copy(
    packets: Iterator[Packet],
    writer: OutputContainer,
    streams: Mapping[int, Stream],
    delay: Fraction | None,
) -> int:
    """Return how many packets were written."""
    import av

    count = 0
    for packet in packets:
        if packet.dts is None:
            continue  # the empty one at the end
        if delay and packet.stream.type == "audio":
            _put_off(packet, delay)
        packet.stream = streams[packet.stream.index]
        try:
            writer.mux(packet)
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise  # of the file that is written
            # The muxer was given times or data that make no video.
            raise ValueError(error.strerror) from error
        count += 1
    return count


def _put_off(packet: Packet, delay: Fraction) -> None:
    ticks = round(delay / packet.time_base)
    if packet.pts is not None:
        packet.pts += ticks
    if packet.dts is not None:
        packet.dts += ticks


def _audio_delay(source: Path) -> Fraction | None:
    """Return how long before 0 s the audio packets begin; ``None`` if the muxer writes it."""
    with closing(open_video(source)) as reader:
        tracks: list[Stream] = [*decodable_tracks(reader)[:1]]
        if not tracks or muxer_writes_delay(tracks[0]):
            return None
        for packet in _packets(reader, tracks, source):
            if packet.pts is not None and packet.time_base:
                return max(Fraction(0), -packet.pts * packet.time_base)
    return Fraction(0)

"""Packets of a video copied into another container with FFmpeg's muxers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..borders import library_border
from ..errors import InvalidInputError
from ..paths import shown_path
from .input_path import file_url
from .matroska_delay import DELAY_PLACEHOLDER, muxer_writes_delay, write_delay
from .video_container import open_video

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream

_MATROSKA_OPTIONS = {"write_crc32": "0"}  # the track's entry is changed afterwards


def copy_packets(source: Path, target: Path, container: str, metadata: Mapping[str, str]) -> None:
    """Write the picture and sound packets of ``source`` into ``target``.

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
    with library_border(partial(damaged_video, source), passing=(OSError, av.FFmpegError)):
        _copy_packets(source, target, container, metadata)


def _copy_packets(source: Path, target: Path, container: str, metadata: Mapping[str, str]) -> None:
    import av

    with closing(open_video(source)) as reader:
        options = _MATROSKA_OPTIONS if container == "matroska" else _mp4_options(reader)
        with av.open(file_url(target), "w", format=container, options=options) as writer:
            writer.metadata.update(metadata)
            streams = {stream.index: _add(writer, stream, source) for stream in _kept(reader)}
            delay = _sound_delay(source) if container == "matroska" else None
            if delay is not None:
                streams[reader.streams.audio[0].index].metadata["title"] = DELAY_PLACEHOLDER
            _copy(_packets(reader, source), writer, streams, delay)
    if delay is not None:
        write_delay(target, delay)


def damaged_video(path: Path, reason: str) -> InvalidInputError:
    """Return what to raise for a video that can be opened, but not be copied."""
    return InvalidInputError(
        f"video {shown_path(path)}: cannot be read ({reason}); use a finished video, or copy it "
        "again"
    )


def _kept(reader: InputContainer) -> list[Stream]:
    return [*reader.streams.video[:1], *reader.streams.audio[:1]]


def _mp4_options(reader: InputContainer) -> dict[str, str]:
    options = {"movflags": "use_metadata_tags+faststart"}
    if reader.streams.audio:
        # Counting in sound samples makes the length of the sound exact.
        options["movie_timescale"] = str(reader.streams.audio[0].rate)
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


def _packets(reader: InputContainer, source: Path) -> Iterator[Packet]:
    """Yield the packets; what fails in here is the source's fault."""
    packets = reader.demux(_kept(reader))
    while True:
        with library_border(partial(damaged_video, source)):
            packet = next(packets, None)
        if packet is None:
            return
        yield packet


def _copy(
    packets: Iterator[Packet],
    writer: OutputContainer,
    streams: Mapping[int, Stream],
    delay: Fraction | None,
) -> None:
    import av

    for packet in packets:
        if packet.dts is None:
            continue  # the empty one at the end
        if delay and packet.stream.type == "audio":
            _put_off(packet, delay)
        packet.stream = streams[packet.stream.index]
        try:
            writer.mux(packet)
        except (av.ArgumentError, av.InvalidDataError) as error:
            # The muxer was given times or data that make no video.
            raise ValueError(error.strerror) from error


def _put_off(packet: Packet, delay: Fraction) -> None:
    ticks = round(delay / packet.time_base)
    if packet.pts is not None:
        packet.pts += ticks
    if packet.dts is not None:
        packet.dts += ticks


def _sound_delay(source: Path) -> Fraction | None:
    """Return how long before 0 s the sound packets begin; ``None`` if that is not ours to write."""
    with closing(open_video(source)) as reader:
        if not reader.streams.audio or muxer_writes_delay(reader.streams.audio[0]):
            return None
        for packet in reader.demux(reader.streams.audio[0]):
            if packet.pts is not None and packet.time_base:
                return max(Fraction(0), -packet.pts * packet.time_base)
    return Fraction(0)

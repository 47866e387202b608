"""The packets of a finished video, to be used again without encoding them again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NoReturn

from ...borders import library_border
from ...errors import InvalidInputError, require
from ...excerpt import shown_path
from ..container import demuxed, open_container
from ..isobmff.border import box_border
from ..isobmff.boxes import child, child_boxes, file_boxes, read_payload
from ..isobmff.defragment import handler_of
from .reading.container import open_video, unreadable

_NO_TEXTS = {"major_brand", "minor_version", "compatible_brands", "encoder"}


@dataclass(frozen=True)
class StoredPacket:
    """A packet as the file holds it."""

    kind: str
    """``video`` or ``audio``."""
    number: int
    """Of the packet in its track, from 0."""
    data: bytes
    duration_s: Fraction
    is_key: bool


@dataclass(frozen=True)
class StoredVideo:
    """A finished video of this project."""

    path: Path
    size_px: tuple[int, int]
    """Height and width."""
    frame_rate_hz: Fraction
    num_frames: int
    num_audio_packets: int
    """Those before 0 s included."""
    audio_rate_hz: int
    num_audio_samples: int
    """Samples that are played."""
    description: bytes
    """Parameter sets of its H.264."""
    metadata: Mapping[str, str]
    """Texts stored in it, by any names."""

    def packets(self) -> Iterator[StoredPacket]:
        """Yield all packets in the order of the file, those before 0 s included.

        Raises:
            InvalidInputError: If the file is damaged.
        """
        numbers = {"video": 0, "audio": 0}
        with library_border(self._damaged):
            container = open_container(self.path, options={"ignore_editlist": "1"})
        with container:
            tracks = list(container.streams)
            for packet in demuxed(container, tracks, self._damaged, self._refuse):
                if not packet.size or packet.time_base is None:
                    continue
                if packet.is_corrupt:
                    raise unreadable(self.path, "it ends too early")
                kind = packet.stream.type
                duration_s = (packet.duration or 0) * packet.time_base
                is_key = packet.is_keyframe or kind == "audio"
                yield StoredPacket(kind, numbers[kind], bytes(packet), duration_s, is_key)
                numbers[kind] += 1

    def _refuse(self, why: str) -> NoReturn:
        raise self._damaged(why)

    def _damaged(self, why: str) -> InvalidInputError:
        return unreadable(self.path, why)


def open_stored(path: Path) -> StoredVideo:
    """Describe a finished video of this project.

    Raises:
        InvalidInputError: If it is something else: no MP4, not one H.264 and one AAC track, or
            damaged.
    """
    with open_video(path) as container:
        _check_whole(path)
        contexts = [stream.codec_context for stream in container.streams]
        codecs = [context.name if context else "unknown" for context in contexts]
        if sorted(codecs) != ["aac", "h264"]:
            raise InvalidInputError(
                f"video {shown_path(path)}: its tracks are {', '.join(codecs)}, not H.264 and AAC; "
                "use a video that was rendered here"
            )
        video, audio = container.streams.video[0], container.streams.audio[0]
        rate_hz = video.average_rate or Fraction(0)
        require(
            video.frames > 0 and rate_hz > 0 and video.codec_context.extradata is not None,
            f"video {shown_path(path)}: its number of frames is not known; it was written, or "
            "changed, by another program",
        )
        return StoredVideo(
            path=path,
            size_px=(video.codec_context.height, video.codec_context.width),
            frame_rate_hz=rate_hz,
            num_frames=video.frames,
            num_audio_packets=audio.frames,
            audio_rate_hz=audio.codec_context.sample_rate,
            num_audio_samples=_num_played(path, audio.codec_context.sample_rate),
            description=video.codec_context.extradata or b"",
            metadata=_own_texts(container.metadata),
        )


def _own_texts(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return what is stored under the names of texts, without what FFmpeg says of any MP4."""
    return {name: text for name, text in metadata.items() if name not in _NO_TEXTS}


def _check_whole(path: Path) -> None:
    """Refuse a file that was cut off.

    Raises:
        InvalidInputError: If it was.
    """
    with box_border(path), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        stop = max((span.stop for span in file_boxes(file)), default=0)
    if stop != size:
        raise unreadable(path, "it was cut off, or something is behind its end")


def _num_played(path: Path, rate_hz: int) -> int:
    """Return samples of the audio track that are played, by its edit list."""
    with box_border(path), path.open("rb") as file:
        moov = next(read_payload(file, span) for span in file_boxes(file) if span.kind == b"moov")
        timescale = int.from_bytes(child(moov, b"mvhd")[20:24], "big")
        traks = [payload for kind, payload in child_boxes(moov) if kind == b"trak"]
        edits = next(child(trak, b"edts", b"elst") for trak in traks if handler_of(trak) == b"soun")
        count, ticks = int.from_bytes(edits[4:8], "big"), int.from_bytes(edits[8:16], "big")
        if edits[:1] != b"\1" or count != 1 or timescale != rate_hz:
            raise ValueError("its times are not as this project writes them")
        return ticks

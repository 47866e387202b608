"""Stored packets and newly encoded frames in one file."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...errors import InvalidInputError, require
from ...excerpt import shown_path
from ...files.whole_file import replacing
from ..audio.info import AudioInfo
from ..isobmff.fragment_writer import FragmentWriter, whole_head
from ..isobmff.samples import with_lengths
from .encoder import VideoEncoder
from .partial_file import MuxerOutput, PartialMark
from .stored import StoredPacket, StoredVideo


class EncoderSettings:
    """How the frames of one video are encoded, and the head of a file for them."""

    def __init__(
        self,
        stored: StoredVideo,
        audio: AudioInfo,
        crf: int,
        chunk_frames: int,
        metadata: Mapping[str, str],
    ) -> None:
        """Check that new frames fit among those of ``stored``.

        Args:
            stored: The finished video.
            audio: Of the new file, at the rate of the stored one.
            crf: H.264 quality that it was encoded with.
            chunk_frames: New frames of a chunk.
            metadata: Texts for the file.

        Raises:
            InvalidInputError: If the encoder describes the frames in another way.
        """
        self.stored, self.audio = stored, audio
        self.crf, self.chunk_frames, self.metadata = crf, chunk_frames, metadata
        with self._open() as encoder:
            require(
                encoder.is_described_by(stored.description),
                f"video {shown_path(stored.path)}: it was encoded with another quality than crf "
                f"{crf}, or by another FFmpeg; use the --crf of its render",
                subject="crf",
            )

    def head(self) -> bytes:
        """Return the start of a fragmented file, up to its first fragment."""
        chunks = deque[bytes]()
        black = np.zeros((self.chunk_frames, *self.stored.size_px, 3), np.uint8)
        with self._open(MuxerOutput(chunks)) as encoder:
            encoder.write(black[: encoder.num_frames])
            encoder.close()
        return whole_head(b"".join(chunks))

    def encode(self, images: Iterable[NDArray[np.uint8]], first: int) -> list[StoredPacket]:
        """Return the packets of images ``(H, W, 3)`` from frame ``first`` on, taken one by one."""
        found: list[StoredPacket] = []
        with self._open() as encoder:
            packets = encoder.video_packets(images, first)
            for number, packet in enumerate(packets, first):
                assert packet.time_base is not None
                duration_s = (packet.duration or 0) * packet.time_base
                data = with_lengths(bytes(packet))
                found.append(StoredPacket("video", number, data, duration_s, packet.is_keyframe))
        return found

    def num_audio_packets(self, num_frames: int) -> int:
        """Return how many packets of audio belong to the first ``num_frames`` frames."""
        with self._open() as encoder:
            return encoder.skip_audio(num_frames)

    @contextmanager
    def _open(self, output: MuxerOutput | None = None) -> Iterator[VideoEncoder]:
        """Open an encoder that is closed whatever it has encoded."""
        encoder = VideoEncoder(
            self.stored.size_px,
            self.audio,
            round(self.stored.frame_rate_hz),
            crf=self.crf,
            chunk_frames=self.chunk_frames,
            metadata=self.metadata,
            output=output,
        )
        encoder.open()
        with closing(encoder):
            yield encoder


def write_fragments(target: Path, head: bytes, packets: Iterable[StoredPacket]) -> PartialMark:
    """Write packets as a fragmented file, whole or not at all; return its end.

    Raises:
        OSError: If it cannot be written.
    """
    with replacing(target) as aside, aside.open("r+b") as file:
        return _write(file, head, packets)


def _write(file: BinaryIO, head: bytes, packets: Iterable[StoredPacket]) -> PartialMark:
    writer, mark = FragmentWriter(head), PartialMark(0, 0)
    for data in _fragments(writer, head, packets):
        file.write(data)
        mark = PartialMark(mark.num_bytes + len(data), zlib.crc32(data, mark.crc32))
    file.flush()
    return mark


def _fragments(
    writer: FragmentWriter, head: bytes, packets: Iterable[StoredPacket]
) -> Iterator[bytes]:
    yield head
    for packet in packets:
        yield writer.add_stored(packet.kind, packet.data, packet.duration_s, is_key=packet.is_key)
    yield writer.rest()


def with_frames(stored: StoredVideo, frames: Mapping[int, StoredPacket]) -> Iterator[StoredPacket]:
    """Yield all packets of a video with some of its frames replaced, by number.

    Raises:
        InvalidInputError: If the video has not as many as it says.
    """
    for packet in up_to(stored.packets(), stored.num_frames, stored.num_audio_packets):
        is_replaced = packet.kind == "video" and packet.number in frames
        yield frames[packet.number] if is_replaced else packet


def up_to(
    packets: Iterable[StoredPacket], num_frames: int, num_audio_packets: int
) -> Iterator[StoredPacket]:
    """Yield the first packets of each track.

    Raises:
        InvalidInputError: If there are fewer.
    """
    limits = {"video": num_frames, "audio": num_audio_packets}
    found = dict.fromkeys(limits, 0)
    for packet in packets:
        if packet.number < limits[packet.kind]:
            found[packet.kind] += 1
            yield packet
    if found != limits:
        raise InvalidInputError(
            f"video: {found['video']} frames and {found['audio']} packets of audio, and "
            f"{num_frames} and {num_audio_packets} are needed; it was changed by another program"
        )

"""Audio that goes on with other audio, as a file.

Axis legend: C channels, n samples; a block is ``(C, n)`` float32, full scale at 1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import OutputError
from ...excerpt import shown_path
from ...files.whole_file import replacing
from .decoding.reader import AudioReader
from .resampling import StreamResampler
from .source import Block

_OWN_TEXT = b"audio of a video that FlashTalk extends\0"
_TEXT_CHUNK = b"LIST" + struct.pack("<I", 12 + len(_OWN_TEXT)) + b"INFOICMT"
_TEXT_CHUNK += struct.pack("<I", len(_OWN_TEXT)) + _OWN_TEXT
_UNKNOWN = 0xFFFF_FFFF
"""What a size of 32 bits is where one of 64 bits is stated."""
_SPEAKERS = {1: 0x4, 2: 0x3, 4: 0x33, 6: 0x3F, 8: 0x63F}
"""Places of so many channels, as bits."""
_IEEE_FLOAT = bytes.fromhex("0300000000001000800000aa00389b71")
_HEAD_BYTES = 12 + 36 + 48 + len(_TEXT_CHUNK) + 8


def append_audio(
    first: Path, then: Path, target: Path, start_s: float = 0.0, duration_s: float | None = None
) -> None:
    """Write ``first`` and what follows as WAV with the rate and the channels of ``first``.

    A file that is there already with the same samples is left alone, its time included: a render
    that knows it by its time can go on.

    Args:
        first: Audio, or a video with it.
        then: What follows.
        target: WAV file, float32.
        start_s: Start of the part of ``then``, seconds.
        duration_s: Length of it; ``None`` is up to the end.

    Raises:
        InvalidInputError: If either cannot be read.
        OutputError: If there is a file that this function has not written.
        OSError: If the file cannot be written.
    """
    joined = _Joined(first, then, start_s, duration_s)
    if target.exists():
        if not is_appended_audio(target):
            raise OutputError(
                f"output {shown_path(target)}: the audio of the whole video is to lie there, and a "
                "file of another program is there; move it away or choose another name"
            )
        if joined.is_in(target):
            return
    with replacing(target) as aside:
        joined.write(aside)


def is_appended_audio(path: Path) -> bool:
    """Return whether :func:`append_audio` has written a file; ``False`` if it is not there."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    return head.startswith(b"RF64") and head[-8 - len(_TEXT_CHUNK) : -8] == _TEXT_CHUNK


@dataclass(frozen=True)
class _Joined:
    """The samples of two sounds one after the other, read anew each time."""

    first: Path
    then: Path
    start_s: float
    duration_s: float | None

    def is_in(self, path: Path) -> bool:
        """Return whether a file holds them, and nothing else."""
        num_bytes = 0
        with path.open("rb") as file, AudioReader(self.first) as reader:
            found = file.read(_HEAD_BYTES)
            for data in self._data(reader):
                if file.read(len(data)) != data:
                    return False
                num_bytes += len(data)
            return not file.read(1) and found == _head(reader.rate_hz, reader.channels, num_bytes)

    def write(self, path: Path) -> None:
        """Write them into a file that is there."""
        num_bytes = 0
        with path.open("r+b") as file, AudioReader(self.first) as reader:
            file.seek(_HEAD_BYTES)
            for data in self._data(reader):
                file.write(data)
                num_bytes += len(data)
            file.seek(0)
            file.write(_head(reader.rate_hz, reader.channels, num_bytes))

    def _data(self, reader: AudioReader) -> Iterator[bytes]:
        yield from _bytes_of(reader.blocks())
        rest = _converted(self.then, reader.rate_hz, reader.channels, self.start_s, self.duration_s)
        yield from _bytes_of(rest)


def _bytes_of(blocks: Iterable[Block]) -> Iterator[bytes]:
    return (np.ascontiguousarray(block.T, "<f4").tobytes() for block in blocks)


def _head(rate_hz: int, channels: int, num_bytes: int) -> bytes:
    """Return everything before the samples.

    Source: EBU Tech 3306 (RF64), and Microsoft's WAVEFORMATEXTENSIBLE.
    """
    frame_bytes = 4 * channels
    sizes = (_HEAD_BYTES - 8 + num_bytes, num_bytes, num_bytes // frame_bytes)
    layout = (0xFFFE, channels, rate_hz, rate_hz * frame_bytes, frame_bytes, 32, 22, 32)
    return b"".join(
        (
            struct.pack("<4sI4s", b"RF64", _UNKNOWN, b"WAVE"),
            struct.pack("<4sI3QI", b"ds64", 28, *sizes, 0),
            struct.pack("<4sI2H2I4HI", b"fmt ", 40, *layout, _SPEAKERS.get(channels, 0)),
            _IEEE_FLOAT,
            _TEXT_CHUNK,
            struct.pack("<4sI", b"data", _UNKNOWN),
        )
    )


def _converted(
    source: Path, rate_hz: int, channels: int, start_s: float, duration_s: float | None
) -> Iterator[Block]:
    with AudioReader(source) as reader:
        resampler = StreamResampler(reader.rate_hz, rate_hz, channels)
        start = round(start_s * reader.rate_hz)
        count = None if duration_s is None else round(duration_s * reader.rate_hz)
        for block in reader.blocks(start, count):
            yield resampler.process(_with_channels(block, channels))
        yield resampler.finish()


def _with_channels(block: Block, channels: int) -> Block:
    """Return the same channels, or in each one the mean of all."""
    if len(block) == channels:
        return block
    return np.repeat(block.mean(axis=0, keepdims=True), channels, axis=0)

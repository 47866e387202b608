"""Audio that goes on with other audio, as a file."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...errors import InvalidInputError
from ...files.whole_file import replacing
from ...packages import missing_package
from .decoding.reader import AudioReader
from .resampling import StreamResampler
from .source import Block


def append_audio(
    first: Path, then: Path, target: Path, start_s: float = 0.0, duration_s: float | None = None
) -> None:
    """Write ``first`` and what follows as WAV with the rate and the channels of ``first``.

    A file that is there already with the same samples is left alone.

    Args:
        first: Audio, or a video with it.
        then: What follows.
        target: WAV file, float32.
        start_s: Start of the part of ``then``, seconds.
        duration_s: Length of it; ``None`` is up to the end.

    Raises:
        InvalidInputError: If either cannot be read.
        OSError: If the file cannot be written.
    """
    try:
        import soundfile
    except ImportError as error:
        raise InvalidInputError(f"audio to go on with: {missing_package('soundfile')}") from error
    with AudioReader(first) as reader, replacing(target) as aside:
        rate_hz, channels = reader.rate_hz, reader.channels
        with soundfile.SoundFile(
            aside, "w", rate_hz, channels, format="RF64", subtype="FLOAT"
        ) as file:
            for block in reader.blocks():
                file.write(block.T)
            for block in _converted(then, rate_hz, channels, start_s, duration_s):
                file.write(block.T)
        if target.is_file() and filecmp.cmp(aside, target, shallow=False):
            known = target.stat()  # a render that knows the file by its time can go on
            os.utime(aside, ns=(known.st_atime_ns, known.st_mtime_ns))


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

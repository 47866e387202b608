"""Proof that audio that is read again is the one that was measured.

Axis legend: C channels, n samples.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from ...errors import InvalidInputError
from .info import AudioInfo
from .source import Block, BlockReader

MARK_SAMPLES = 2**16
"""Samples between two marks: a change is found a second or two behind where it begins."""
_REMEDY = "keep it as it is until the video is written, and render again"


class AudioMarks:
    """Checksums of an audio source from its first sample on: one at every step, and one at the end.

    The samples themselves are compared, not size and time of a file: a file that was only touched
    or renamed is the same audio, and audio in memory can change as well.
    """

    def __init__(self) -> None:
        self.num_samples = 0
        self._marks: list[int] = []
        self._crc = 0

    def update(self, block: Block) -> None:
        """Take the next samples, ``(C, n)`` float32, in blocks of any length."""
        samples = np.ascontiguousarray(block.T)
        while len(samples):
            room = MARK_SAMPLES - self.num_samples % MARK_SAMPLES
            self._crc = zlib.crc32(samples[:room].data, self._crc)
            self.num_samples += len(samples[:room])
            samples = samples[room:]
            if self.num_samples % MARK_SAMPLES == 0:
                self._marks.append(self._crc)

    def marks(self, first: int = 0, *, is_end: bool = True) -> tuple[int, ...]:
        """Return the checksums from number ``first`` on.

        Args:
            first: Those before it are left out.
            is_end: Add one of the last, shorter step.
        """
        rest = [self._crc] if is_end and self.num_samples % MARK_SAMPLES else []
        return (*self._marks[first:], *rest)


def measured_blocks(reader: BlockReader, audio: AudioInfo) -> Iterator[Block]:
    """Yield the part of audio that is rendered, once more.

    What was not measured, since it had not ended, is compared with nothing.

    Args:
        reader: New reader of its source.
        audio: What the first pass measured.

    Raises:
        InvalidInputError: If other samples come than were measured, or fewer; before the end of
            the audio is passed on.
    """
    if (reader.rate_hz, reader.channels) != (audio.rate_hz, audio.channels):
        raise _another(audio, 0)
    if audio.num_samples is None:
        yield from reader.blocks(audio.start_sample)
        return
    read, num_same = AudioMarks(), 0
    for block in reader.blocks(audio.start_sample, audio.num_samples):
        read.update(block)
        found = read.marks(num_same, is_end=read.num_samples >= audio.num_samples)
        wanted = audio.marks[num_same : num_same + len(found)]
        if wanted and found != wanted:
            raise _another(audio, num_same)
        num_same += len(found)
        yield block
    if read.num_samples < audio.num_samples:
        left_s = read.num_samples / audio.rate_hz
        raise InvalidInputError(
            f"audio {audio.source}: changed while it was rendered, only {left_s:.3f} of "
            f"{audio.num_samples / audio.rate_hz:.3f} s are left; {_REMEDY}",
            subject="speakers",
        )


def _another(audio: AudioInfo, num_same: int) -> InvalidInputError:
    at_s = (audio.start_sample + num_same * MARK_SAMPLES) / audio.rate_hz
    return InvalidInputError(
        f"audio {audio.source}: changed while it was rendered, its samples differ after "
        f"{at_s:.1f} s; {_REMEDY}",
        subject="speakers",
    )

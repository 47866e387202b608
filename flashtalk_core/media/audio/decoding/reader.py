"""Audio read as blocks of floats in constant memory, from a file or another source.

Axis legend: C channels, n samples; a block is ``(C, n)`` float32, full scale at 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from ....files.input_path import check_input
from ..source import AudioInput, AudioSource, Block
from .opening import open_audio_file


class AudioReader:
    """One pass over an audio source: rate, channels, then its blocks.

    Of a file, encoder delay and padding are left out as the container says (LAME header, edit
    list, Opus pre-skip), and the times it states are kept: sample ``n`` is what a player plays
    ``n / rate`` seconds after its start, silence where the audio starts late or has gaps. PyAV
    reads it; what that cannot open or would misread goes to libsndfile (``soundfile``).
    """

    def __init__(self, source: str | Path | AudioSource) -> None:
        """Open ``source`` and read its first block.

        Raises:
            InvalidInputError: If there is no such file, or no audio in it.
        """
        self.source: AudioInput
        self.missing_s = 0.0
        """Seconds a file lacks of what its header states."""
        self.num_read = 0
        """Samples read so far, skipped ones included."""
        self.notes: list[str] = []
        """What should be known about the file; grows while it is read."""
        self._close: Callable[[], None] | None = None
        if isinstance(source, str | Path):
            self.source = path = check_input(source, "audio")
            opened = open_audio_file(path)
            self.rate_hz, self.channels, self.layout = opened[:3]
            self._blocks, self._close = opened.blocks, opened.close
            self.notes, self.missing_s = opened.notes, opened.missing_s
        else:
            self.source = source
            self.rate_hz, self.channels = source.rate_hz, source.channels
            self.layout, self._blocks = source.layout, source.blocks()

    def blocks(self, start_sample: int = 0, num_samples: int | None = None) -> Iterator[Block]:
        """Yield the samples from ``start_sample`` on, at most ``num_samples`` (``None``: all).

        The audio is read once only: a second call goes on where the first one stopped.
        """
        stop = None if num_samples is None else start_sample + num_samples
        for block in self._blocks:
            first = self.num_read
            self.num_read += block.shape[1]
            part = block[:, max(0, start_sample - first) : None if stop is None else stop - first]
            if part.shape[1]:
                yield part
            if stop is not None and self.num_read >= stop:
                return

    def close(self) -> None:
        """Release the file."""
        if self._close is not None:
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

"""The progress bar: chunks, frames a second, time left."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self, TextIO

from ..config.chunk import ChunkConfig
from ..geometry import num_chunks
from ..streaming.pacing import measure_pace
from .status_line import StatusLine

_BAR_CELLS = 20


class Progress:
    """Counts written frames on standard error.

    A terminal sees a bar; a file or a pipe gets a line after the first frames, one after a chunk
    now and then, and one at the end. Where nothing can be written the work goes on without.
    """

    def __init__(
        self,
        total_frames: int,
        chunk: ChunkConfig,
        stream: TextIO | None = None,
        clock_s: Callable[[], float] = time.monotonic,
        num_done: int = 0,
    ) -> None:
        """Show nothing yet; the bar appears on entering.

        Args:
            total_frames: Frames of the video.
            chunk: Arithmetic of a chunk.
            stream: Where to write; ``None`` is standard error.
            clock_s: Gives the time in seconds.
            num_done: Frames of an earlier run, which do not count for the speed.
        """
        self._total_frames = total_frames
        self._chunk = chunk
        self._line = StatusLine(stream, clock_s)
        self._done = self._num_before = num_done

    def __enter__(self) -> Self:
        self._line.begin()
        self._line.draw(self)
        return self

    def add(self, frames: int) -> None:
        """Count ``frames`` written frames."""
        is_first = self._done == self._num_before
        self._done += frames
        self._line.draw(self)
        is_whole_chunk = self._done % self._chunk.num_new_frames == 0
        is_due = is_whole_chunk and self._line.is_due
        if is_first or self._done == self._total_frames or is_due:
            self._line.add_line(self)

    def __exit__(self, *exception: object) -> None:
        self._line.end()

    def __str__(self) -> str:
        """Return what is done, how fast, and what is left."""
        current = min(self._done, self._total_frames - 1) // self._chunk.num_new_frames + 1
        chunks = num_chunks(self._total_frames, self._chunk)
        cells = _BAR_CELLS * self._done // self._total_frames
        bar = "#" * cells + "." * (_BAR_CELLS - cells)
        return (
            f"chunk {current}/{chunks} [{bar}] {self._done}/{self._total_frames} frames"
            f"{self._pace()}"
        )

    def _pace(self) -> str:
        elapsed_s = self._line.elapsed_s
        num_new = self._done - self._num_before
        if not num_new or elapsed_s <= 0:
            return ""
        rate = measure_pace(num_new, elapsed_s)
        if self._done == self._total_frames:
            return f", {rate:.1f} frames/s, took {format_minutes(elapsed_s)}"
        left_s = (self._total_frames - self._done) / rate
        return f", {rate:.1f} frames/s, {format_minutes(left_s)} left"


def format_minutes(seconds: float) -> str:
    """Return ``m:ss``, or ``h:mm:ss`` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

"""The progress bar: chunks, frames a second, time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from ..config.chunk import ChunkConfig
from ..geometry import num_chunks
from ..streaming.pacing import measure_pace
from .terminal import is_terminal, write_message

_BAR_CELLS = 20
_LINE_PAUSE_S = 5.0
"""Least time between two lines where the output is no terminal."""


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
        self._stream = sys.stderr if stream is None else stream
        self._clock_s = clock_s
        self._is_watched = is_terminal(self._stream)
        self._done = self._num_before = num_done
        self._start_s = self._last_line_s = 0.0

    def __enter__(self) -> Self:
        self._start_s = self._last_line_s = self._clock_s()
        if self._is_watched:
            self._draw()
        return self

    def add(self, frames: int) -> None:
        """Count ``frames`` written frames."""
        is_first = self._done == self._num_before
        self._done += frames
        if self._is_watched:
            self._draw()
        elif is_first or self._done == self._total_frames or self._is_line_due():
            self._last_line_s = self._clock_s()
            write_message(self._stream, f"{self}\n")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_watched:
            write_message(self._stream, "\n")

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
        elapsed_s = self._clock_s() - self._start_s
        num_new = self._done - self._num_before
        if not num_new or elapsed_s <= 0:
            return ""
        rate = measure_pace(num_new, elapsed_s)
        if self._done == self._total_frames:
            return f", {rate:.1f} frames/s, took {format_minutes(elapsed_s)}"
        left_s = (self._total_frames - self._done) / rate
        return f", {rate:.1f} frames/s, {format_minutes(left_s)} left"

    def _is_line_due(self) -> bool:
        is_whole_chunk = self._done % self._chunk.num_new_frames == 0
        return is_whole_chunk and self._clock_s() - self._last_line_s >= _LINE_PAUSE_S

    def _draw(self) -> None:
        write_message(self._stream, f"\r{str(self).ljust(79)}")


def format_minutes(seconds: float) -> str:
    """Return ``m:ss``, or ``h:mm:ss`` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

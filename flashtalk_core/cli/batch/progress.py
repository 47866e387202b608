"""Progress of a batch: a bar for all rows and one for those that are being rendered."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self, TextIO

from ...streaming.pacing import measure_pace
from ..progress import format_minutes
from ..status_line import StatusLine

if TYPE_CHECKING:
    from ...batch.rows import CheckedRow

_ALL_CELLS, _ROW_CELLS = 16, 10
_MOST_NAMED = 3


class BatchProgress:
    """Shows both bars in one line of a terminal; a file or a pipe gets a line now and then.

    Log lines of ended rows are written above it.
    """

    def __init__(
        self,
        num_rows: int,
        total_frames: int,
        stream: TextIO | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show nothing yet.

        Args:
            num_rows: Rows to render.
            total_frames: Frames of all of them.
            stream: Where to write; ``None`` is standard error.
            clock_s: Gives the time in seconds.
        """
        self._num_rows, self._total_frames = num_rows, total_frames
        self._line = StatusLine(stream, clock_s)
        self._num_ended = 0
        self._done_frames = 0  # of rows that ended, whole or not
        self._rendered_frames = 0
        self._current: dict[str, tuple[int, int]] = {}  # frames done, and of all, by row

    def __enter__(self) -> Self:
        self._line.begin()
        self._line.draw(self)
        return self

    def __exit__(self, *exception: object) -> None:
        self._line.end()

    def started(self, row: CheckedRow) -> None:
        """Show a row as being rendered."""
        self._current[row.row.number] = 0, row.num_frames
        self._line.draw(self)

    def resumed(self, row: CheckedRow, count: int) -> None:
        """Show frames of a row that were there; they say nothing of the speed."""
        done, total = self._current[row.row.number]
        self._current[row.row.number] = done + count, total
        self._line.draw(self)

    def add(self, row: CheckedRow, count: int) -> None:
        """Count ``count`` more frames of a row."""
        done, total = self._current[row.row.number]
        self._current[row.row.number] = done + count, total
        self._rendered_frames += count
        self._line.draw(self)
        if self._line.is_due:
            self._line.add_line(self)

    def ended(self, row: CheckedRow) -> None:
        """Count a row as ended; what is missing of it is not waited for."""
        self._current.pop(row.row.number, None)
        self._num_ended += 1
        self._done_frames += row.num_frames
        self._line.draw(self)

    def __str__(self) -> str:
        """Return both bars and the time that is left."""
        current = sum(done for done, _ in self._current.values())
        done = self._done_frames + current
        parts = [f"{_bar(done, self._total_frames, _ALL_CELLS)} {self._num_ended}/{self._num_rows}"]
        parts[0] += f" rows{self._left(done)}"
        if self._current:
            total = sum(of_all for _, of_all in self._current.values())
            bar = _bar(current, total, _ROW_CELLS)
            parts.append(f"{_names(list(self._current))} {bar} {current}/{total}{self._rate()}")
        return " | ".join(parts)

    def _left(self, done: int) -> str:
        elapsed_s = self._line.elapsed_s
        if not self._rendered_frames or elapsed_s <= 0 or done >= self._total_frames:
            return ""
        rate = self._rendered_frames / elapsed_s
        return f", {format_minutes((self._total_frames - done) / rate)} left"

    def _rate(self) -> str:
        elapsed_s = self._line.elapsed_s
        if not self._rendered_frames or elapsed_s <= 0:
            return ""
        return f", {measure_pace(self._rendered_frames, elapsed_s):.1f}/s"


def _bar(done: int, total: int, num_cells: int) -> str:
    cells = num_cells * done // max(total, 1)
    return f"[{'#' * cells}{'.' * (num_cells - cells)}]"


def _names(numbers: list[str]) -> str:
    shown = ", ".join(numbers[:_MOST_NAMED]) + (" ..." if len(numbers) > _MOST_NAMED else "")
    return f"row {shown}" if len(numbers) == 1 else f"rows {shown}"

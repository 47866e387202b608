"""Progress of the checks before a batch, which may read hours of audio."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

from ..status_line import StatusLine


class Checking:
    """Counts checked rows on standard error, if that takes a while."""

    def __init__(self, num_rows: int, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Show nothing yet; ``clock_s`` gives the time in seconds."""
        self._num_rows = num_rows
        self._num_checked = 0
        self._line = StatusLine(clock_s=clock_s)

    def __enter__(self) -> Self:
        return self

    def add(self) -> None:
        """Count a row."""
        self._num_checked += 1
        if self._line.is_due:
            text = f"checked {self._num_checked} of {self._num_rows} rows"
            self._line.draw(text)
            self._line.add_line(text)

    def __exit__(self, *exception: object) -> None:
        self._line.end()

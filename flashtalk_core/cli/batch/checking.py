"""Progress of the checks before a batch, which may read hours of audio."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from ..terminal import is_terminal, write_message

_PAUSE_S = 5.0


class Checking:
    """Counts checked rows on standard error, if that takes a while."""

    def __init__(self, num_rows: int) -> None:
        """Show nothing yet."""
        self._num_rows = num_rows
        self._num_checked = 0
        self._last_s = time.monotonic()
        self._has_shown = False

    def __enter__(self) -> Self:
        return self

    def add(self) -> None:
        """Count a row."""
        self._num_checked += 1
        is_due = time.monotonic() - self._last_s >= _PAUSE_S
        if is_due:
            self._last_s = time.monotonic()
            self._show()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._has_shown and is_terminal(sys.stderr):
            write_message(sys.stderr, "\n")

    def _show(self) -> None:
        text = f"checked {self._num_checked} of {self._num_rows} rows"
        if is_terminal(sys.stderr):
            self._has_shown = True
            write_message(sys.stderr, f"\r{text.ljust(79)}")
        else:
            write_message(sys.stderr, f"{text}\n")

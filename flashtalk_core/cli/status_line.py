"""A line on standard error that says how far something is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from .terminal import is_terminal, terminal_width, write_message

_PAUSE_S = 5.0
"""Least time between two lines where the output is no terminal."""


class StatusLine:
    """Is written over in a terminal; a file or a pipe gets whole lines now and then.

    Where nothing can be written the work goes on without.
    """

    def __init__(
        self, stream: TextIO | None = None, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Write nothing yet.

        Args:
            stream: Where to write; ``None`` is standard error.
            clock_s: Gives the time in seconds.
        """
        self._stream = sys.stderr if stream is None else stream
        self._clock_s = clock_s
        self._is_watched = is_terminal(self._stream)
        self._is_drawn = False
        self._start_s = self._last_line_s = clock_s()

    @property
    def elapsed_s(self) -> float:
        """Seconds since :meth:`begin`."""
        return self._clock_s() - self._start_s

    @property
    def is_due(self) -> bool:
        """Whether the last line, or the start, is some seconds ago."""
        return self._clock_s() - self._last_line_s >= _PAUSE_S

    def begin(self) -> None:
        """Count the time from here."""
        self._start_s = self._last_line_s = self._clock_s()

    def draw(self, text: object) -> None:
        """Show ``text`` in a terminal, over what the line says there."""
        if self._is_watched:
            self._is_drawn = True
            # A line that is longer than the terminal would be drawn below itself each time.
            width = terminal_width(self._stream) - 1
            write_message(self._stream, f"\r{str(text)[:width].ljust(width)}")

    def add_line(self, text: object) -> None:
        """Write ``text`` as a line of a file or a pipe; the next one is due a while later."""
        self._last_line_s = self._clock_s()
        if not self._is_watched:
            write_message(self._stream, f"{text}\n")

    def end(self) -> None:
        """Let what follows begin below the line."""
        if self._is_drawn:
            write_message(self._stream, "\n")

"""Agreement of all ranks on where a command ends, without a message between them.

Work is divided into units, a denoising step or a group of decoded frames. Rank 0 publishes the
number of the last unit that may begin, after a look at whether the command was cancelled; the
others wait for it. So all stop before the same unit, and none waits in an exchange for one that
has stopped.
"""

from __future__ import annotations

import time

from ..shared.pages import Pages

_PAUSE_S = 0.0002
_UNIT_BITS = 32


class StoppedError(Exception):
    """The command was cancelled, or another rank failed in it."""


class Tickets:
    """The units of one rank."""

    def __init__(self, pages: Pages, rank: int) -> None:
        """Start before the first command."""
        self._pages = pages
        self._rank = rank
        self._command = self._unit = 0

    @property
    def is_stopping(self) -> bool:
        """Whether the command was cancelled or failed; ranks may see that at different times."""
        return self._command in (self._pages.cancelled, self._pages.failed)

    def begin(self, command: int) -> None:
        """Start with the units of a command; commands are numbered in order, from 1."""
        self._command, self._unit = command, command << _UNIT_BITS

    def next_unit(self) -> None:
        """Begin the next unit when rank 0 allows it.

        Raises:
            StoppedError: If the command ends here.
        """
        if self._rank == 0 and self.is_stopping:
            self.refuse()
        self._unit += 1
        if self._rank == 0 and self._pages.ticket > -self._unit:
            self._pages.ticket = self._unit
        while not self._may_begin(self._pages.ticket):
            time.sleep(_PAUSE_S)

    def refuse(self) -> None:
        """Let no rank begin the next unit; called by rank 0, or without effect."""
        if self._rank == 0:
            self._pages.ticket = -(self._unit + 1)

    def fail(self) -> None:
        """Note that this rank failed in the command, so that rank 0 ends it."""
        self._pages.failed = self._command
        self.refuse()

    def _may_begin(self, ticket: int) -> bool:
        if ticket < 0 and -ticket >> _UNIT_BITS == self._command and -ticket <= self._unit:
            raise StoppedError
        return abs(ticket) > self._unit if ticket < 0 else ticket >= self._unit

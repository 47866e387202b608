"""Finds a rank that does not go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Container

from .shared.pages import Pages

_SILENT_S = 2.5
"""Time without a beat after which a process does not run; they beat twice a second."""
_LONGEST_PAUSE_S = 1.0
"""Longest time that counts between two looks: this process may have been stopped in between."""
_LEAST_SHARE = 0.5
"""Share of the limit after which a rank without progress may be to blame for one beyond it."""


class Watch:
    """Time without progress of each rank, while this process waits for them."""

    def __init__(
        self, pages: Pages, num_ranks: int, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin to watch."""
        self._pages = pages
        self._clock_s = clock_s
        self._counts = [-1] * num_ranks
        self._idle_s = [0.0] * num_ranks
        self._beats = [-1] * num_ranks
        self._silent_s = [0.0] * num_ranks
        self._last_s = clock_s()

    def skip(self) -> None:
        """Leave out the time since the last look: this process did something else."""
        self._last_s = self._clock_s()

    def find_stuck(self, done: Container[int], limit_s: float) -> int | None:
        """Return the rank that is to blame if one made no progress for too long.

        That is one whose process does not run at all, or the one that is furthest behind: the
        others wait for it. Where one rank is over the limit, the one to blame may still be a
        moment below it, since its last progress came later; but while it goes on, as rank 0 does
        when it alone encodes for long, nobody is.

        Args:
            done: Ranks that are not waited for.
            limit_s: Longest time without progress.
        """
        now_s = self._clock_s()
        passed_s, self._last_s = min(now_s - self._last_s, _LONGEST_PAUSE_S), now_s
        is_over, waited_for = False, []
        for rank, before in enumerate(self._counts):
            progress = self._pages.row(rank).read()
            self._silent_s[rank] += passed_s
            if progress.heartbeat != self._beats[rank]:
                self._beats[rank], self._silent_s[rank] = progress.heartbeat, 0.0
            has_advanced = progress.count != before or rank in done
            self._counts[rank] = progress.count
            self._idle_s[rank] = 0.0 if has_advanced else self._idle_s[rank] + passed_s
            is_over = is_over or self._idle_s[rank] > limit_s
            if rank not in done:
                waited_for.append((self._silent_s[rank] < _SILENT_S, progress.count, rank))
        if not is_over:
            return None
        behind = min(waited_for)[2]
        return behind if self._idle_s[behind] > _LEAST_SHARE * limit_s else None

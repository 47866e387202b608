"""How long each phase of a fleet may take."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from statistics import median

from ..errors import require

_LEAST_STEP_S = 60.0
_STEP_FACTOR = 20

RELEASE_S = 60.0
"""Longest time without progress while weights are freed."""


MAX_LIMIT_S = 1_000_000
"""Eleven days."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Seconds. A limit of a phase is the longest time without any progress in it."""

    start_s: float = 120.0
    """Of a rank's start, and of its meeting with the others."""
    load_s: float = 900.0
    """Of opening a job and of its first chunk: weights are read, and kernels built."""
    step_s: float | None = None
    """Of a step; ``None`` is 20 times the usual time of a step, and at least a minute."""
    stop_s: float = 5.0
    """Until all ranks have stopped after one of them failed."""
    exit_s: float = 3.0
    """Until processes have ended by themselves."""
    idle_release_s: float | None = 600.0
    """Until an idle fleet frees its weights; ``None`` is never, as for the next."""
    idle_exit_s: float | None = 1800.0
    """Until an idle fleet ends its processes."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            require(
                value is None or 0 < value <= MAX_LIMIT_S,
                f"limit {name.removesuffix('_s')} {value} s: use more than 0 and at most "
                f"{MAX_LIMIT_S:,} seconds",
                subject="limits",
            )


class StepClock:
    """What a step usually takes, and with that its limit."""

    def __init__(self, limits: Limits) -> None:
        """Know no step yet."""
        self._limits = limits
        self._steps_s: deque[float] = deque(maxlen=32)
        self._last_s: float | None = None

    def note(self, *, is_first: bool) -> None:
        """Note that a step begins; the time before the first of a chunk is that of no step."""
        now_s = time.monotonic()
        if self._last_s is not None and not is_first:
            self._steps_s.append(now_s - self._last_s)
        self._last_s = now_s

    @property
    def limit_s(self) -> float:
        """Longest time without progress while chunks are generated."""
        if self._limits.step_s is not None:
            return self._limits.step_s
        usual_s = median(self._steps_s) if self._steps_s else 0.0
        return max(_LEAST_STEP_S, _STEP_FACTOR * usual_s)

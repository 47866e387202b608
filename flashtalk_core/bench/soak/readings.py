"""What a process takes over time: memory, handles, threads, and how fast they grow."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InvalidInputError, require

_WARM_UP_SHARE = 0.25
"""Of the readings, which do not count for a slope: caches fill, and the allocator settles."""
_LEAST = 4
MOST_MB_PER_MIN = 1.0
"""Slope of memory that is allowed."""
_NOISE_MB = 16.0
"""Growth that says nothing about a slope: what an allocator keeps at one moment or another."""
_ENCODER_THREADS = 4
"""Threads of encoders that come and go."""


@dataclass(frozen=True)
class Reading:
    """A process at one moment."""

    time_s: float
    """By a clock that is never set."""
    progress: float
    """Of what is measured: seconds of video, or renders."""
    rss_mb: float
    """Resident memory, MB (1e6)."""
    handles: int
    """Open files, pipes and sockets."""
    threads: int
    """Threads of Python and of libraries."""


@dataclass(frozen=True)
class Slopes:
    """How a process grows after warm-up."""

    rss_first_mb: float
    rss_last_mb: float
    rss_mb_per_min: float
    """Least-squares slope over wall time."""
    rss_mb_per_unit: float
    """The same over progress: an hour of video, or a render."""
    handles_first: int
    handles_last: int
    threads_first: int
    threads_last: int

    @property
    def is_steady(self) -> bool:
        """Whether handles and threads stay, and memory grows by no more than the bound."""
        grown_mb = self.rss_last_mb - self.rss_first_mb
        return (
            self.handles_last <= self.handles_first
            and self.threads_last <= self.threads_first + _ENCODER_THREADS
            and (self.rss_mb_per_min <= MOST_MB_PER_MIN or grown_mb <= _NOISE_MB)
        )


def check_system() -> None:
    """Refuse systems where a process cannot be read.

    Raises:
        InvalidInputError: If this is not Linux.
    """
    if not sys.platform.startswith("linux"):
        raise InvalidInputError(f"soak on {sys.platform}: a process is measured on Linux only")


def read_process(progress: float, process: int | str = "self") -> Reading:
    """Read memory, handles and threads of a process on Linux.

    Args:
        progress: What it has done by now.
        process: Its number; ``self`` is this one.
    """
    folder = Path(f"/proc/{process}")
    fields = dict(
        line.split(":", 1) for line in (folder / "status").read_text("utf-8").splitlines() if line
    )
    rss_kib = int(fields["VmRSS"].split()[0])
    return Reading(
        time_s=time.monotonic(),
        progress=progress,
        rss_mb=rss_kib * 1024 / 1e6,
        handles=sum(1 for _ in (folder / "fd").iterdir()),
        threads=int(fields["Threads"]),
    )


def find_slopes(readings: Sequence[Reading], unit: float = 1.0) -> Slopes:
    """Return how a process grew over the readings that follow the warm-up.

    Args:
        readings: In order of time.
        unit: Of progress; 3600 gives slopes for an hour where progress is in seconds.

    Raises:
        InvalidInputError: If there are too few.
    """
    warm = readings[round(_WARM_UP_SHARE * len(readings)) :]
    require(
        len(warm) >= _LEAST, f"{len(readings)} readings: too few for a slope; measure for longer"
    )
    rss_mb = [each.rss_mb for each in warm]
    return Slopes(
        rss_first_mb=rss_mb[0],
        rss_last_mb=rss_mb[-1],
        rss_mb_per_min=_slope([each.time_s / 60 for each in warm], rss_mb),
        rss_mb_per_unit=_slope([each.progress / unit for each in warm], rss_mb),
        handles_first=warm[0].handles,
        handles_last=warm[-1].handles,
        threads_first=warm[0].threads,
        threads_last=warm[-1].threads,
    )


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    if max(x) == min(x):
        return 0.0
    return float(np.polyfit(np.asarray(x) - x[0], y, 1)[0])

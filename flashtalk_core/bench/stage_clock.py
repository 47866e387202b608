"""Clocks for the stages of a chunk: device events, or the wall clock on a CPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch

GIB = 2**30


@dataclass
class StageSamples:
    """What one stage took in each repeat."""

    times_ms: list[float] = field(default_factory=list)
    peak_gib: float | None = None
    """Most device memory in use during the stage; ``None`` where it is not counted."""

    @property
    def median_ms(self) -> float:
        """Return the median."""
        return median(self.times_ms)


class StageClock:
    """Measures the stages of one run; events of a GPU are read when the run is over."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._is_cuda = device.type == "cuda"
        self._marks: list[tuple[str, Any]] = []
        self._notes: list[tuple[str, Any]] = []
        self.peaks_gib: dict[str, float] = {}
        if self._is_cuda:
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
        self._start = self._now()

    def mark(self, stage: str) -> None:
        """End ``stage``; a stage that ends several times is summed."""
        self._marks.append((stage, self._now()))
        if self._is_cuda:
            peak = torch.cuda.max_memory_allocated(self._device) / GIB
            self.peaks_gib[stage] = max(peak, self.peaks_gib.get(stage, 0.0))
            torch.cuda.reset_peak_memory_stats(self._device)

    def note(self, moment: str) -> None:
        """Remember a moment, counted from the start."""
        self._notes.append((moment, self._now()))

    def times_ms(self) -> dict[str, float]:
        """Return milliseconds by stage, then by noted moment."""
        if self._is_cuda:
            torch.cuda.synchronize(self._device)
        found: dict[str, float] = {}
        before = self._start
        for stage, moment in self._marks:
            found[stage] = found.get(stage, 0.0) + self._between_ms(before, moment)
            before = moment
        return found | {name: self._between_ms(self._start, when) for name, when in self._notes}

    def _now(self) -> Any:
        if not self._is_cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def _between_ms(self, start: Any, stop: Any) -> float:
        if self._is_cuda:
            return float(start.elapsed_time(stop))
        return float(1000 * (stop - start))


@torch.no_grad()
def measure(
    run: Callable[[StageClock], object], device: torch.device, warmups: int, repeats: int
) -> dict[str, StageSamples]:
    """Run a few times unmeasured, then several times measured, without gradients.

    Args:
        run: Runs the stages and marks them.
        device: Where they run.
        warmups: Unmeasured runs.
        repeats: Measured runs, 1 or more.

    Returns:
        Samples by stage, in the order of the run.
    """
    for _ in range(warmups):
        run(StageClock(device))
    found: dict[str, StageSamples] = {}
    for _ in range(repeats):
        clock = StageClock(device)
        run(clock)
        for stage, time_ms in clock.times_ms().items():
            samples = found.setdefault(stage, StageSamples())
            samples.times_ms.append(time_ms)
            if stage in clock.peaks_gib:
                samples.peak_gib = max(samples.peak_gib or 0.0, clock.peaks_gib[stage])
    return found


def measure_one(
    run: Callable[[], object], device: torch.device, warmups: int, repeats: int
) -> StageSamples:
    """Measure a single stage; see :func:`measure`."""

    def marked(clock: StageClock) -> None:
        run()
        clock.mark("")

    return measure(marked, device, warmups, repeats)[""]

"""Time of a call: until it returns, and until the device is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

from ...offload.tensors import synchronize


@dataclass(frozen=True)
class CallTimes:
    """Medians of several calls, each on an idle device."""

    launch_ms: float
    """Until the call returned: its kernels were launched, and may still run."""
    total_ms: float
    """Until the device was done."""


def time_calls(call: Callable[[], object], device: torch.device, repeats: int) -> CallTimes:
    """Time ``call`` ``repeats`` times, 1 or more, after one that does not count."""
    call()
    launches, totals = [], []
    for _ in range(repeats):
        synchronize(device)
        start_s = time.perf_counter()
        call()
        launches.append(time.perf_counter() - start_s)
        synchronize(device)
        totals.append(time.perf_counter() - start_s)
    return CallTimes(1000 * median(launches), 1000 * median(totals))


def time_once(call: Callable[[], object], device: torch.device) -> float:
    """Return the milliseconds of one call on an idle device."""
    synchronize(device)
    start_s = time.perf_counter()
    call()
    synchronize(device)
    return 1000 * (time.perf_counter() - start_s)

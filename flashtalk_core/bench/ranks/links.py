"""What several GPUs of one host exchange in a second, at the sizes that a split model sends.

Axis legend: P ranks, one process each. Sizes are megabytes (10^6 bytes) that one rank sends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
import torch.distributed as dist

from ..stage_clock import StageClock, measure
from .process import run_ranks

_BYTES = 2  # bfloat16


@dataclass(frozen=True)
class Exchange:
    """One exchange between ranks at one size."""

    name: str
    megabytes: float


EXCHANGES = (
    Exchange("all-to-all", 0.001),
    # Output, and query, key and value in one, of a layer at 768x448: by 8 and 4, then 2 ranks.
    *(Exchange("all-to-all", size) for size in (13.5, 15.5, 23.2, 31.0, 40.6, 46.5, 69.7, 92.9)),
    *(Exchange("halo", size) for size in (0.8, 1.4, 2.9, 5.7)),
    *(Exchange("ring", size) for size in (62.0, 124.0)),
    *(Exchange("gather", size) for size in (1.5, 13.8, 37.0)),
    Exchange("sum", 0.001),
)
"""Rows of a band go to the neighbours (halo), keys and values round (ring) or to all."""


@dataclass(frozen=True)
class LinkTime:
    """What one exchange took, by the rank that took longest in each repeat."""

    exchange: str
    megabytes: float
    way: str
    """``eager``, or ``graph``: recorded once as a CUDA graph."""
    median_ms: float
    low_ms: float
    high_ms: float
    gb_per_s: float
    """Bytes one rank sends over the median time."""


def measure_links(
    world: int, backend: str, exchanges: Sequence[Exchange] = EXCHANGES, repeats: int = 20
) -> list[LinkTime]:
    """Time each exchange between ``world`` processes.

    Args:
        world: Ranks, 2 or more; with ``nccl`` rank r has GPU r.
        backend: ``nccl`` or ``gloo`` (on the CPU).
        exchanges: What to time.
        repeats: Measured calls of each, after 5 unmeasured ones.

    Returns:
        Times, in the order of ``exchanges``; with ``nccl`` each eager, then as a graph.
    """
    return list(_slowest(run_ranks(_rank, world, backend, tuple(exchanges), repeats)))


def _slowest(ranks: Sequence[Any]) -> Iterator[LinkTime]:
    for rows in zip(*ranks, strict=True):
        name, megabytes, mode, _ = rows[0]
        times = [max(each) for each in zip(*(row[3] for row in rows), strict=True)]
        middle = median(times)
        yield LinkTime(name, megabytes, mode, middle, min(times), max(times), megabytes / middle)


def _rank(device: torch.device, exchanges: Sequence[Exchange], repeats: int) -> list[Any]:
    """Be one process of the group; return what was measured."""
    rows = []
    for exchange in exchanges:
        call = _call(exchange, dist.get_rank(), dist.get_world_size(), device)
        modes = {"eager": call}
        times = {"eager": _times_ms(call, device, repeats)}
        if device.type == "cuda":
            modes["graph"] = _recorded(call)
            times["graph"] = _times_ms(modes["graph"], device, repeats)
        rows += [(exchange.name, exchange.megabytes, mode, times[mode]) for mode in modes]
        modes.clear()  # a graph that uses the group goes before the group
    return rows


def _call(exchange: Exchange, rank: int, world: int, device: torch.device) -> Callable[[], object]:
    """Return a function that does the exchange once."""
    count = max(1, round(exchange.megabytes * 1e6 / _BYTES))

    def new(size: int) -> torch.Tensor:
        return torch.zeros(size, dtype=torch.bfloat16, device=device)

    if exchange.name == "all-to-all":  # a share stays with the rank itself
        share = -(-count // (world - 1))
        sent, got = new(share * world), new(share * world)
        return lambda: dist.all_to_all_single(got, sent)
    if exchange.name == "gather":
        part, whole = new(count), new(count * world)
        return lambda: dist.all_gather_into_tensor(whole, part)
    if exchange.name == "sum":
        sums = new(count)
        return lambda: dist.all_reduce(sums)
    if exchange.name == "ring":
        ahead, behind = (rank + 1) % world, (rank - 1) % world
        return _sending([(ahead, new(count))], [(behind, new(count))])
    neighbours = [other for other in (rank - 1, rank + 1) if 0 <= other < world]
    return _sending(
        [(other, new(count)) for other in neighbours], [(other, new(count)) for other in neighbours]
    )


def _sending(
    sent: Sequence[tuple[int, torch.Tensor]], got: Sequence[tuple[int, torch.Tensor]]
) -> Callable[[], object]:
    def call() -> None:
        parts = [dist.P2POp(dist.isend, tensor, to) for to, tensor in sent]
        parts += [dist.P2POp(dist.irecv, tensor, source) for source, tensor in got]
        for work in dist.batch_isend_irecv(parts):
            work.wait()

    return call


def _recorded(call: Callable[[], object]) -> Callable[[], object]:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def _times_ms(call: Callable[[], object], device: torch.device, repeats: int) -> list[float]:
    """Time each call by itself, ranks starting together."""

    def run(clock: StageClock) -> None:
        dist.barrier()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        clock.mark("meeting")
        call()
        clock.mark("exchange")

    return measure(run, device, 5, repeats)["exchange"].times_ms


def copy_rates_gb_per_s(repeats: int = 10, megabytes: float = 500.0) -> dict[str, float]:
    """Return how fast GPU 0 and GPU 1 copy to each other, one way and both ways at once.

    Returns:
        Gigabytes a second that one GPU sends.
    """
    count = round(megabytes * 1e6)
    sent = [torch.zeros(count, dtype=torch.uint8, device=f"cuda:{gpu}") for gpu in (0, 1)]
    got = [torch.zeros(count, dtype=torch.uint8, device=f"cuda:{gpu}") for gpu in (1, 0)]
    found = {}
    for name, sides in {"one way": (0,), "both ways": (0, 1)}.items():
        times = []
        for _ in range(repeats):
            torch.cuda.synchronize(0)
            torch.cuda.synchronize(1)
            start = time.perf_counter()
            for side in sides:
                got[side].copy_(sent[side], non_blocking=True)
            torch.cuda.synchronize(0)
            torch.cuda.synchronize(1)
            times.append(time.perf_counter() - start)
        found[name] = megabytes / 1000 / median(times)
    return found

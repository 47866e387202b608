"""Hundreds of short renders in one process, each as the command line makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ...engine.build import LocalEngine
from ...engine.events import EventHandlers
from ...engine.resolve import LocalHost, resolve
from ...engine.spec import RenderSpec
from ...jobs.job import Job, JobOptions
from ...placement.residency import CachedNetworks
from .readings import Slopes, find_slopes, read_process


@dataclass(frozen=True)
class RendersResult:
    """What was found of renders in a row."""

    num_renders: int
    num_frames: int
    """Of each."""
    slopes: Slopes
    """Per render."""


def run_renders(
    folder: Path,
    spec: RenderSpec,
    count: int,
    report: Callable[[int, int], object] = lambda _done, _total: None,
) -> RendersResult:
    """Render ``count`` times, each with a seed of its own and networks that are loaded anew.

    Args:
        folder: Where to write; what is written is removed again.
        spec: What to render.
        count: How many renders.
        report: Called with renders done and all renders.
    """
    readings, num_frames = [], 0
    for number in range(count):
        seeded = replace(spec, sampling=replace(spec.sampling, seed=number))
        plan = resolve(seeded, LocalHost())
        video = folder / "render.mp4"
        job = Job(plan, seeded, video, JobOptions(crf=30, metadata={}))
        networks = CachedNetworks(plan.checkpoint, plan.placement, EventHandlers())
        job.render(LocalEngine(networks))
        num_frames = job.writer.num_written
        video.unlink()
        readings.append(read_process(number))
        report(number + 1, count)
    return RendersResult(count, num_frames, find_slopes(readings))

"""An hour of speech through a real model, in parts that may be interrupted at any time.

Readings are kept beside the video, a line a chunk, so that those of all parts count.

Axis legend: F frames, H W pixels.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...config.chunk import ChunkConfig
from ...engine.build import LocalEngine
from ...engine.events import EventHandlers
from ...engine.plan import RenderPlan
from ...engine.spec import RenderSpec
from ...engine.state import SessionState
from ...jobs.job import Job, JobOptions
from ...media.video.reading.measure import measure_video
from ...placement.residency import CachedNetworks
from .readings import Reading, Slopes, find_slopes, read_process

CHUNK = ChunkConfig()
_COARSE_PX = 16
_BYTE = 255.0


@dataclass(frozen=True)
class ChunkReading:
    """A chunk: what the process took after it, and how far its last frame is from the portrait."""

    part: int
    chunk: int
    time_s: float
    rss_mb: float
    handles: int
    threads: int
    colour: float
    """Distance of the mean colour, 0 to 1."""
    structure: float
    """One minus the correlation of the low-passed brightness, 0 to 2."""


@dataclass(frozen=True)
class HourResult:
    """What was found of all parts together."""

    num_parts: int
    num_frames: int
    expected_frames: int
    is_exact: bool
    end_offset_ms: float
    """How much later than it should be the click before the end is heard."""
    resume_s: float
    """From the start of the last part to its first frame; networks are loaded in it."""
    frames_per_s: float
    """Of the last part."""
    slopes: Slopes
    """Of the longest part, per minute of video."""
    colour_first: float
    colour_last: float
    structure_first: float
    structure_last: float
    """Means over the first and the last tenth."""


def run_part(
    plan: RenderPlan,
    spec: RenderSpec,
    video: Path,
    most_chunks: int | None = None,
    report: Callable[[int, int], object] = lambda _done, _total: None,
) -> float | None:
    """Render what is missing, or some chunks of it, and note a reading for each.

    Args:
        plan: Of the video.
        spec: That it was made from.
        video: Where it goes; what an interrupted run has left there is continued.
        most_chunks: Chunks of this part; ``None`` renders to the end.
        report: Called with frames done and all frames after each chunk.

    Returns:
        Seconds from the start of the part to its first frame, and ``None`` if the video is there.
    """
    if video.is_file():
        return None
    start_s = time.monotonic()
    job = Job(plan, spec, video, JobOptions(crf=18, metadata={}))
    notes = _Notes(plan, readings_path(video), job.num_chunks_done)
    total = job.writer.num_frames
    assert total is not None, "the speech is a file"
    first_s: list[float] = []

    def frames(group: Tensor) -> None:
        if not first_s:
            first_s.append(time.monotonic() - start_s)
        notes.see(group)

    def state(found: SessionState) -> None:
        notes.write(found.chunk_index)
        report(job.writer.num_written, total)
        if most_chunks is not None and found.chunk_index >= job.num_chunks_done + most_chunks:
            raise _PartEnds

    networks = CachedNetworks(plan.checkpoint, plan.placement, EventHandlers())
    with suppress(_PartEnds):
        job.render(LocalEngine(networks), EventHandlers(frames=frames, state=state))
    return first_s[0] if first_s else 0.0


def measure_hour(video: Path, expected_frames: int, click_s: float, resume_s: float) -> HourResult:
    """Measure the finished video, and what was noted of all parts.

    Args:
        video: That was rendered by :func:`run_part`.
        expected_frames: Of it.
        click_s: Where the speech has a click.
        resume_s: What the last part returned.
    """
    found = measure_video(video, CHUNK.frame_rate_hz, [click_s])
    rows = read_readings(readings_path(video))
    parts = [[row for row in rows if row.part == part] for part in {row.part for row in rows}]
    longest, last = max(parts, key=len), max(parts, key=lambda each: each[0].part)
    tenth = max(1, len(rows) // 10)
    took_s = last[-1].time_s - last[0].time_s
    new_frames = CHUNK.num_new_frames * (len(last) - 1)

    def mean(values: list[float]) -> float:
        return float(np.mean(values))

    return HourResult(
        num_parts=len(parts),
        num_frames=found.num_frames,
        expected_frames=expected_frames,
        is_exact=found.is_exact,
        end_offset_ms=1000 * found.click_offsets_s[0],
        resume_s=resume_s,
        frames_per_s=new_frames / took_s if took_s else 0.0,
        slopes=find_slopes(
            [
                Reading(row.time_s, minutes_of(row) * 60, row.rss_mb, row.handles, row.threads)
                for row in longest
            ],
            60,
        ),
        colour_first=mean([row.colour for row in rows[:tenth]]),
        colour_last=mean([row.colour for row in rows[-tenth:]]),
        structure_first=mean([row.structure for row in rows[:tenth]]),
        structure_last=mean([row.structure for row in rows[-tenth:]]),
    )


def minutes_of(row: ChunkReading) -> float:
    """Return the video up to the end of a chunk, minutes."""
    return row.chunk * CHUNK.num_new_frames / CHUNK.frame_rate_hz / 60


def readings_path(video: Path) -> Path:
    """Return where the readings of a video are kept."""
    return video.with_suffix(".csv")


def read_readings(path: Path) -> list[ChunkReading]:
    """Return the readings of all parts, each chunk once."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [
            ChunkReading(**{each.name: _READ[each.type](row[each.name]) for each in FIELDS})
            for row in csv.DictReader(file, [each.name for each in FIELDS])
        ]
    return list({row.chunk: row for row in rows}.values())


FIELDS = fields(ChunkReading)
_READ: dict[Any, Callable[[str], Any]] = {"int": int, "float": float}  # types are text here


class _PartEnds(Exception):
    """Ends a part on purpose."""


class _Notes:
    """Writes a line for each chunk."""

    def __init__(self, plan: RenderPlan, path: Path, num_chunks_done: int) -> None:
        portrait = (plan.fitted_image().permute(1, 2, 0).float().numpy() + np.float32(1)) / 2
        self._portrait = _look(portrait.astype(np.float32))
        self._path = path
        rows = read_readings(path) if path.is_file() and num_chunks_done else []
        self._part = 1 + max((row.part for row in rows), default=0)
        if not num_chunks_done:
            path.unlink(missing_ok=True)
        self._last: NDArray[np.float32] | None = None

    def see(self, frames: Tensor) -> None:
        self._last = frames[-1].numpy().astype(np.float32) / _BYTE

    def write(self, chunk: int) -> None:
        assert self._last is not None, "a chunk has frames"
        colour, coarse = _look(self._last)
        reading = read_process(chunk)
        row = (
            self._part, chunk, f"{reading.time_s:.3f}", f"{reading.rss_mb:.3f}", reading.handles,
            reading.threads, f"{np.abs(colour - self._portrait[0]).mean():.5f}",
            f"{1 - _correlation(coarse, self._portrait[1]):.5f}",
        )  # fmt: skip
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(row)


def _look(image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean colour ``(3,)`` and the coarse brightness of ``(H, W, 3)`` in ``[0, 1]``."""
    light = image.mean(axis=2)
    rows = [part.mean(axis=0) for part in np.array_split(light, _COARSE_PX, axis=0)]
    parts = np.array_split(np.stack(rows), _COARSE_PX, axis=1)
    return image.mean(axis=(0, 1)), np.stack([part.mean(axis=1) for part in parts])


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

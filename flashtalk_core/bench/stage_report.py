"""What is reported of stages that were timed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .agreement import Agreement
from .one_chunk import CHUNK, FIRST_FRAME
from .operations import Operations, Rates
from .stage_clock import StageSamples

_TERA = 1e12


@dataclass(frozen=True)
class StageRow:
    """One stage in one mode."""

    paths: str
    stage: str
    median_ms: float
    min_ms: float
    max_ms: float
    peak_gib: float | None
    """Most device memory in use during the stage, weights included."""
    tflop: float | None
    """Multiplications and additions; ``None`` where a stage is not counted."""
    tflop_per_s: float | None
    floor_ms: float | None
    """Time at the measured rates if nothing but the arithmetic took any."""
    over_floor: float | None


@dataclass(frozen=True)
class ModeSummary:
    """Summary of one execution mode."""

    paths: str
    seconds_of_first_chunk: float
    """Wall clock, compilation included."""
    frames_per_s: float
    first_frame_ms: float
    """From audio to the first new frame in host memory."""
    linear_tflop_per_s: float
    attention_tflop_per_s: float
    convolution_tflop_per_s: float


@dataclass(frozen=True)
class StageReport:
    """Everything that was found."""

    summaries: list[ModeSummary]
    stages: list[StageRow]
    agreements: list[Agreement]


def summarise(
    name: str,
    first_s: float,
    samples: Mapping[str, StageSamples],
    rates: Rates,
    num_new_frames: int,
) -> ModeSummary:
    """Return the summary of one execution mode.

    Args:
        name: Of the mode.
        first_s: Seconds that its first chunk took.
        samples: Of its stages, the whole chunk and the first frame among them.
        rates: Measured for it.
        num_new_frames: Frames that a chunk shows.
    """
    return ModeSummary(
        paths=name,
        seconds_of_first_chunk=first_s,
        frames_per_s=1000 * num_new_frames / samples[CHUNK].median_ms,
        first_frame_ms=samples[FIRST_FRAME].median_ms,
        linear_tflop_per_s=rates.linear / _TERA,
        attention_tflop_per_s=rates.attention / _TERA,
        convolution_tflop_per_s=rates.convolution / _TERA,
    )


def stage_row(
    name: str, stage: str, samples: StageSamples, operations: Operations | None, rates: Rates | None
) -> StageRow:
    """Return one stage in one mode, against the floor where its operations are counted."""
    row = StageRow(
        paths=name,
        stage=stage,
        median_ms=samples.median_ms,
        min_ms=min(samples.times_ms),
        max_ms=max(samples.times_ms),
        peak_gib=samples.peak_gib,
        tflop=None,
        tflop_per_s=None,
        floor_ms=None,
        over_floor=None,
    )
    total = sum(operations.values()) if operations else 0.0
    if rates is None or operations is None or not total:
        return row
    floor_ms = rates.floor_ms(operations)
    return replace(
        row,
        tflop=total / _TERA,
        tflop_per_s=total / _TERA / (samples.median_ms / 1000),
        floor_ms=floor_ms,
        over_floor=samples.median_ms / floor_ms,
    )

"""Every stage of a chunk timed, in the plain way and in faster ones, against the floor."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from ..config import FastPaths
from ..models.acceleration import accelerate_dit, accelerate_vae
from ..models.attention import Attention, attention_name, sdpa
from ..models.dit import AvatarDiT
from .agreement import (
    MAX_ERROR,
    MAX_ERROR_FLOAT8,
    Agreement,
    compare,
    rounding_bound,
    step_outputs,
    vae_outputs,
)
from .chunk_run import FIRST_FRAME, run_chunk
from .operations import Operations, Rates, count_operations, measure_rates
from .random_networks import ChunkInputs, Networks, random_inputs
from .stage_clock import StageClock, StageSamples, measure, measure_one

PLAIN = "plain"
CHUNK = "chunk"
_TERA = 1e12


@dataclass(frozen=True, kw_only=True)
class StageBench:
    """What is measured, and how often."""

    networks: Networks
    """Built with PyTorch's own attention; switched to the faster ways in place."""
    attention: Attention
    """Kernel of the faster ways."""
    ways: Mapping[str, FastPaths]
    """Faster ways by name, in order; each adds to the one before."""
    size_px: tuple[int, int]
    steps: int
    num_decode_latents: tuple[int, ...]
    """Latent frames decoded at once: the first in the chunk, each in a decode by itself."""
    warmups: int
    """Unmeasured runs of each way, the one that compiles included; 1 or more."""
    repeats: int
    """Measured runs of the faster ways."""
    plain_repeats: int
    """Measured runs of the plain way, which takes longest."""


@dataclass(frozen=True)
class StageRow:
    """One stage in one way."""

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
class WaySummary:
    """One way in short."""

    paths: str
    seconds_of_first_chunk: float
    """Wall clock, compilation included."""
    frames_per_s: float
    first_frame_ms: float
    """From sound to the first new frame in host memory."""
    linear_tflop_per_s: float
    attention_tflop_per_s: float
    convolution_tflop_per_s: float


@dataclass(frozen=True)
class StageReport:
    """Everything that was found."""

    summaries: list[WaySummary]
    stages: list[StageRow]
    agreements: list[Agreement]


def bench_stages(bench: StageBench) -> StageReport:
    """Measure the plain way, then each faster one, and compare their outputs."""
    networks = bench.networks
    operations = count_operations(networks.config, bench.size_px, bench.steps)
    inputs = random_inputs(networks, bench.size_px, bench.steps)
    report = StageReport([], [], [])
    _measure_way(bench, PLAIN, (1,), inputs, operations, report)
    judge = _Judge(bench, inputs, report)
    for name, paths in bench.ways.items():
        set_attention(networks.dit, bench.attention)
        accelerate_dit(networks.dit, paths)
        accelerate_vae(networks.vae, paths)
        _measure_way(bench, name, bench.num_decode_latents, inputs, operations, report)
        judge.compare(name, paths)
    return report


class _Judge:
    """Compares steps with the plain way, and the autoencoder with itself in float32.

    The autoencoder's plain way rounds after every operation, the fused one less often, so that
    they differ by what the plain way loses. Both are held to float32, and the fused one may not
    be worse than the plain one beyond the bound.
    """

    def __init__(self, bench: StageBench, inputs: ChunkInputs, report: StageReport) -> None:
        self._bench, self._inputs, self._report = bench, inputs, report
        networks = bench.networks
        self._steps = step_outputs(networks, inputs)
        self._exact = vae_outputs(networks, inputs, 1, torch.float32)
        results = vae_outputs(networks, inputs, 1)
        loose = dict.fromkeys(results, MAX_ERROR_FLOAT8)
        rows = compare(PLAIN, results, self._exact, loose)
        report.agreements.extend(rows)
        self._vae_bounds = {row.output: max(MAX_ERROR, row.relative_rms) for row in rows}

    def compare(self, name: str, paths: FastPaths) -> None:
        """Add rows for the way the networks run in now."""
        networks, rows = self._bench.networks, self._report.agreements
        rounding = rounding_bound(
            networks.config.dit.num_layers, networks.dit.patch_embedding.weight.dtype
        )
        bounds = dict.fromkeys(self._steps, MAX_ERROR_FLOAT8 if paths.float8 else rounding)
        rows.extend(compare(name, step_outputs(networks, self._inputs), self._steps, bounds))
        results = vae_outputs(networks, self._inputs, self._bench.num_decode_latents[0])
        rows.extend(compare(name, results, self._exact, self._vae_bounds))


def describe(bench: StageBench) -> dict[str, Any]:
    """Return what was measured on what, as plain values."""
    weight = bench.networks.dit.patch_embedding.weight
    is_cuda = weight.device.type == "cuda"
    return {
        "model": bench.networks.config.name,
        "parameters": sum(p.numel() for p in bench.networks.dit.parameters()),
        "dtype": str(weight.dtype).removeprefix("torch."),
        "size_px": bench.size_px,
        "steps": bench.steps,
        "attention": attention_name(bench.attention),
        "decode_latents": bench.num_decode_latents[0],
        "repeats": bench.repeats,
        "plain_repeats": bench.plain_repeats,
        "device": torch.cuda.get_device_name(weight.device) if is_cuda else weight.device.type,
        "torch": torch.__version__,
    }


def set_attention(dit: AvatarDiT, attention: Attention) -> None:
    """Put ``attention`` into every slot of a transformer."""
    for module in dit.modules():
        if hasattr(module, "attention"):
            module.attention = attention  # type: ignore[assignment]


def _measure_way(
    bench: StageBench,
    name: str,
    num_latents: tuple[int, ...],
    inputs: ChunkInputs,
    operations: Mapping[str, Operations],
    report: StageReport,
) -> None:
    """Add the rows and the summary of one way to ``report``."""
    networks, device = bench.networks, inputs.samples.device
    plain = name == PLAIN
    rates = measure_rates(
        networks.dit,
        inputs.reference.session.rotation.shape[0],
        sdpa if plain else bench.attention,
        float8=not plain and bench.ways[name].float8,
    )

    def run(clock: StageClock) -> None:
        run_chunk(networks, inputs, num_latents[0], clock)
        clock.note(CHUNK)

    start_s = time.monotonic()
    first = measure(run, device, 0, 1)
    first_s = time.monotonic() - start_s
    repeats = bench.plain_repeats if plain else bench.repeats
    samples = measure(run, device, bench.warmups - 1, repeats)
    assert first.keys() == samples.keys(), (first.keys(), samples.keys())
    report.summaries.append(_summary(bench, name, first_s, samples, rates))
    for stage, found in samples.items():
        report.stages.append(_row(name, stage, found, operations.get(stage), rates))
    for count in num_latents[1:]:
        decode = partial(_decode, networks, inputs, count)
        found = measure_one(decode, device, bench.warmups, bench.repeats)
        stage = f"decode by {count}"
        report.stages.append(_row(name, stage, found, operations["decode"], rates))


def _decode(networks: Networks, inputs: ChunkInputs, num_latents: int) -> None:
    """Decode the portrait's condition, whose latents are as many as a chunk's."""
    latent = inputs.reference.session.condition[:, -networks.config.vae.z_dim :]
    for _ in networks.vae.decode_groups(latent, num_latents):
        pass


def _summary(
    bench: StageBench, name: str, first_s: float, samples: Mapping[str, StageSamples], rates: Rates
) -> WaySummary:
    return WaySummary(
        paths=name,
        seconds_of_first_chunk=first_s,
        frames_per_s=1000 * bench.networks.config.chunk.num_new_frames / samples[CHUNK].median_ms,
        first_frame_ms=samples[FIRST_FRAME].median_ms,
        linear_tflop_per_s=rates.linear / _TERA,
        attention_tflop_per_s=rates.attention / _TERA,
        convolution_tflop_per_s=rates.convolution / _TERA,
    )


def _row(
    name: str, stage: str, samples: StageSamples, operations: Operations | None, rates: Rates
) -> StageRow:
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
    if operations is None or not total:
        return row
    floor_ms = rates.floor_ms(operations)
    return replace(
        row,
        tflop=total / _TERA,
        tflop_per_s=total / _TERA / (samples.median_ms / 1000),
        floor_ms=floor_ms,
        over_floor=samples.median_ms / floor_ms,
    )

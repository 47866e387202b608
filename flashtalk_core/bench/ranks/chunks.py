"""A chunk of a random model divided among devices: right, and how fast.

Every rank builds the whole networks on its own device, from the same seed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor

from ...acceleration.apply import set_graph
from ...acceleration.attention_kernels import choose_attention
from ...acceleration.kernel_options import Exchange, GraphMode
from ...acceleration.support import choose_kernel_options
from ...config.avatar import AvatarConfig
from ...geometry import SPATIAL_STRIDE, num_latent_frames, token_grid
from ...models.attention import sdpa
from ...models.vae.layers import SequenceRunner
from ...offload.tensors import synchronize
from ...parallel.banded_images import spread_images
from ...parallel.collectives import Collectives
from ...parallel.groups import ONE_RANK, sequence_degrees, sequence_groups
from ...parallel.image_spread import WHOLE, ImageSpread
from ...parallel.sequence import exchanged_bytes, spread_transformer
from ...parallel.shares import split_evenly
from ...parallel.torch_collectives import TorchCollectives
from ..agreement import (
    MAX_ERROR_FLOAT8,
    Agreement,
    compare,
    rounding_bound,
    step_outputs,
    vae_outputs,
)
from ..one_chunk import CHUNK, FIRST_FRAME, run_chunk
from ..random_networks import ChunkInputs, Networks, random_inputs, random_networks
from ..stage_clock import StageClock, StageSamples, measure
from ..stages import ExecutionMode, Setting, switch
from .absent import AbsentRanks
from .process import run_ranks

ONE = "one device"
_MEETING = "meeting"


@dataclass(frozen=True)
class Division:
    """How devices share the model."""

    name: str
    ulysses: int | None = None
    """Degrees of the transformer's exchange; see :func:`sequence_degrees`."""
    ring: int | None = None
    grid: str = "auto"
    """Bands of the autoencoder; see :func:`choose_grid`."""
    graph: GraphMode = "off"
    """Which steps are recorded as CUDA graphs."""
    exchange: Exchange = "collectives"


@dataclass(frozen=True)
class ChunkBench:
    """What is measured. FP8 comes last, since the conversion cannot be undone."""

    config: AvatarConfig
    float8: tuple[bool, ...]
    settings: tuple[Setting, ...]
    divisions: tuple[Division, ...]
    repeats: int
    dtype: torch.dtype
    attention: str = "auto"
    speed: str = "auto"
    """Execution mode; see :func:`choose_kernel_options`."""


@dataclass(frozen=True)
class StageTime:
    """What a stage took, by the rank that took longest in each repeat."""

    devices: int
    division: str
    mode: str
    setting: str
    stage: str
    median_ms: float
    low_ms: float
    high_ms: float
    peak_gib: float | None


@dataclass
class ChunkReport:
    """What was found, rows by part."""

    stages: list[StageTime] = field(default_factory=list)
    summaries: list[dict[str, Any]] = field(default_factory=list)
    agreements: list[dict[str, Any]] = field(default_factory=list)


def measure_chunks(bench: ChunkBench, world: int, backend: str) -> ChunkReport:
    """Measure one device and each division of ``world`` devices.

    Args:
        bench: What to measure.
        world: Ranks.
        backend: ``nccl``, or ``gloo`` on the CPU.
    """
    ranks = run_ranks(_rank, world, backend, bench)
    report = ChunkReport()
    for found in zip(*(each["times"] for each in ranks), strict=True):
        _summarise(report, found, bench.config.chunk.num_new_frames)
    report.agreements.extend(ranks[0]["agreements"])
    return report


def measure_alone(bench: ChunkBench, worlds: Sequence[int], device: torch.device) -> ChunkReport:
    """Measure one device, and one rank of so many without its exchanges; nothing is compared.

    Args:
        bench: What to measure.
        worlds: Ranks, of each of which one is measured; see :func:`slowest_rank`.
        device: Where.
    """
    num_heads = bench.config.dit.num_heads
    groups = [AbsentRanks(slowest_rank(num_heads, world), world) for world in worlds]
    report = ChunkReport()
    for row in _measure_rank(device, bench, groups)["times"]:
        _summarise(report, [row], bench.config.chunk.num_new_frames)
    return report


def slowest_rank(num_heads: int, world: int) -> int:
    """Return a rank that computes most: it has the most heads.

    That is the first; or the second, if it has as many, where there are more than two: its band has
    two neighbours.
    """
    heads = split_evenly(num_heads, world)
    return int(world > 2 and heads[1] == heads[0])


def _rank(device: torch.device, bench: ChunkBench) -> dict[str, Any]:
    """Be one rank."""
    return _measure_rank(device, bench, [TorchCollectives()])


def _measure_rank(
    device: torch.device, bench: ChunkBench, groups: Sequence[Collectives]
) -> dict[str, Any]:
    """Measure one device, then this rank of each group."""
    networks = random_networks(bench.config, sdpa, device, bench.dtype)
    options = choose_kernel_options(bench.speed, device)
    times, agreements = [], []
    for float8 in bench.float8:
        # The exchange wraps the kernel: it is taken off before another one is set.
        spread_transformer(networks.dit, ONE_RANK)
        mode = ExecutionMode(options, choose_attention(bench.attention, device), float8)
        switch(networks, mode)
        name = "float8" if float8 else str(bench.dtype).removeprefix("torch.")
        runner = networks.vae.runner
        for setting, group in itertools.product(bench.settings, groups):
            run = _SettingRun(bench, networks, setting, group, device, runner, float8)
            for row in run.rows(is_first=setting is bench.settings[0], with_one=group is groups[0]):
                agreements += [{"mode": name} | asdict(each) for each in row.pop("agreements")]
                times.append({"mode": name, "setting": str(setting)} | row)
    return {"times": times, "agreements": agreements}


@dataclass(frozen=True)
class _SettingRun:
    """All divisions at one setting, on one rank."""

    bench: ChunkBench
    networks: Networks
    setting: Setting
    group: Collectives
    device: torch.device
    runner: SequenceRunner
    """Of the undivided autoencoder."""
    is_float8: bool

    def rows(self, *, is_first: bool, with_one: bool) -> Iterator[dict[str, Any]]:
        """Yield what was measured, with one device first; the first setting compares outputs."""
        expected: Mapping[str, Tensor] = {}
        compared = is_first and not isinstance(self.group, AbsentRanks)
        one = (Division(ONE),) if with_one else ()
        for division in (*one, *self.bench.divisions):
            spread = self._divide(division)
            inputs = random_inputs(self.networks, self.setting.size_px, self.setting.steps)
            samples = self._measure(inputs, spread)
            row: dict[str, Any] = {"division": division.name, "agreements": []}
            row["devices"] = 1 if division.name == ONE else self.group.size
            row["stages"] = {name: asdict(each) for name, each in samples.items()}
            row["exchanged_bytes"] = self._exchanged_bytes(division)
            if compared:
                outputs = self._outputs(inputs, spread)
                expected = expected or outputs
                row["agreements"] = self._compare(division, outputs, expected)
            yield row

    def _divide(self, division: Division) -> ImageSpread:
        dit = self.networks.dit
        self.networks.vae.runner = self.runner
        if division.name == ONE:
            spread_transformer(dit, ONE_RANK)
            set_graph(dit, "off", self.device)
            return WHOLE
        groups = sequence_groups(self.group, division.ulysses, division.ring)
        spread_transformer(dit, groups, division.exchange)
        set_graph(dit, division.graph, self.device)
        return spread_images(self.group, self.setting.size_px, division.grid)

    def _measure(self, inputs: ChunkInputs, spread: ImageSpread) -> dict[str, StageSamples]:
        count = self.setting.num_decode_latents

        def run(clock: StageClock) -> None:
            self.group.sum(torch.zeros(1, device=self.device))
            synchronize(self.device)
            clock.mark(_MEETING)
            run_chunk(self.networks, inputs, count, clock, spread)

        return measure(run, self.device, 2, self.bench.repeats)

    def _outputs(self, inputs: ChunkInputs, spread: ImageSpread) -> Mapping[str, Tensor]:
        count = self.setting.num_decode_latents
        images = vae_outputs(self.networks, inputs, count, spread=spread)
        return step_outputs(self.networks, inputs) | images

    def _compare(
        self, division: Division, outputs: Mapping[str, Tensor], expected: Mapping[str, Tensor]
    ) -> list[Agreement]:
        if outputs is expected:
            return []
        bound = rounding_bound(self.networks.config.dit.num_layers, self.bench.dtype)
        if self.is_float8:
            bound = max(bound, MAX_ERROR_FLOAT8)
        return compare(division.name, outputs, expected, dict.fromkeys(outputs, bound))

    def _exchanged_bytes(self, division: Division) -> int:
        """Return bytes that this rank sends in the self-attentions of a step, by the model."""
        if division.name == ONE:
            return 0
        config = self.networks.config
        height, width = (side // SPATIAL_STRIDE for side in self.setting.size_px)
        num_frames = num_latent_frames(config.chunk.num_frames)
        grid = token_grid((num_frames, height, width), config.dit)
        positions = split_evenly(grid[1] * grid[2], self.group.size)
        lengths = [grid[0] * count for count in positions]
        degrees = sequence_degrees(self.group.size, division.ulysses, division.ring)
        heads = config.dit.num_heads, config.dit.head_dim
        size = torch.finfo(self.bench.dtype).bits // 8
        return config.dit.num_layers * exchanged_bytes(
            lengths, heads, degrees, self.group.rank, size
        )


def _summarise(report: ChunkReport, ranks: Sequence[dict[str, Any]], num_new_frames: int) -> None:
    """Add the rows of one division at one setting, measured by all ranks."""
    first = ranks[0]  # it has the most heads and tokens, so that it sends most
    names = {name: first[name] for name in ("division", "mode", "setting", "devices")}
    stages = {
        stage: _slowest([each["stages"][stage] for each in ranks]) for stage in first["stages"]
    }
    meeting = stages.pop(_MEETING)
    for moment in (FIRST_FRAME, CHUNK):  # counted from the start
        times = zip(stages[moment].times_ms, meeting.times_ms, strict=True)
        stages[moment].times_ms = [time - before for time, before in times]
    steps = [samples for stage, samples in stages.items() if stage.startswith("step ")]
    for stage, samples in stages.items():
        report.stages.append(
            StageTime(
                **names,
                stage=stage,
                median_ms=samples.median_ms,
                low_ms=min(samples.times_ms),
                high_ms=max(samples.times_ms),
                peak_gib=samples.peak_gib,
            )
        )
    chunk_ms = stages[CHUNK].median_ms
    report.summaries.append(
        names
        | {
            "step_ms": median(time for samples in steps for time in samples.times_ms),
            "decode_ms": stages["decode"].median_ms,
            "encode_ms": stages["motion encode"].median_ms,
            "chunk_ms": chunk_ms,
            "first_frame_ms": stages[FIRST_FRAME].median_ms,
            "frames_per_s": 1000 * num_new_frames / chunk_ms,
            "peak_gib": max((each.peak_gib or 0.0) for each in stages.values()),
            "gb_exchanged_a_step": first["exchanged_bytes"] / 1e9,
        }
    )


def _slowest(ranks: Sequence[dict[str, Any]]) -> StageSamples:
    """Return the longest time in each repeat, and the highest peak."""
    times = [max(each) for each in zip(*(rank["times_ms"] for rank in ranks), strict=True)]
    peaks = [rank["peak_gib"] for rank in ranks if rank["peak_gib"] is not None]
    return StageSamples(times, max(peaks, default=None))

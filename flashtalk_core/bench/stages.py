"""Every stage of a chunk timed, eager and in faster execution modes, against the floor."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from ..acceleration.apply import set_execution
from ..acceleration.attention_kernels import KERNELS, attention_name
from ..acceleration.kernel_options import KernelOptions
from ..config.sampling import SamplingConfig
from ..geometry import check_size
from ..live.chunks import live_chunk
from ..models.attention import Attention, sdpa
from ..models.transformer.model import AvatarDiT
from ..quantization.blocks import convert_blocks
from ..quantization.fp8 import choose_format
from .agreement import (
    MAX_ERROR,
    MAX_ERROR_FLOAT8,
    compare,
    rounding_bound,
    step_outputs,
    vae_outputs,
)
from .one_chunk import CHUNK, FIRST_FRAME, run_chunk
from .operations import Operations, count_operations, measure_rates
from .random_networks import ChunkInputs, Networks, random_inputs
from .stage_clock import StageClock, measure, measure_one
from .stage_report import StageReport, stage_row, summarise

INEXACT = frozenset(kernel.name for kernel in KERNELS if not kernel.exact)
EAGER = "plain"


@dataclass(frozen=True)
class ExecutionMode:
    """One mode in which the networks run."""

    kernel_options: KernelOptions
    attention: Attention
    """Kernel of the transformer."""
    float8: bool = False
    """Whether large linear layers of the transformer are in FP8."""

    @property
    def is_exact(self) -> bool:
        """Return whether it computes the same as eager mode up to rounding."""
        return not self.float8 and attention_name(self.attention) not in INEXACT


@dataclass(frozen=True)
class Setting:
    """A size, steps and groups that whole chunks are measured at in addition to the main ones."""

    size_px: tuple[int, int]
    steps: int
    num_decode_latents: int
    num_frames: int | None = None
    """Length of a chunk of a live session, motion frames included; ``None`` is the model's."""

    def __post_init__(self) -> None:
        check_size(self.size_px)
        SamplingConfig(steps=self.steps)

    def __str__(self) -> str:
        """Name it as the command line does."""
        height, width = self.size_px
        frames = "" if self.num_frames is None else f":{self.num_frames}"
        return f"{height}x{width}:{self.steps}:{self.num_decode_latents}{frames}"

    def networks(self, networks: Networks) -> Networks:
        """Return ``networks`` for chunks of this length."""
        if self.num_frames is None:
            return networks
        chunk = live_chunk(networks.config.chunk, self.num_frames)
        return replace(networks, config=replace(networks.config, chunk=chunk))


@dataclass(frozen=True, kw_only=True)
class StageBench:
    """What is measured, and how often."""

    networks: Networks
    """Built with PyTorch's own attention; switched to the faster modes in place."""
    modes: Mapping[str, ExecutionMode]
    """Faster modes by name, in order; FP8 last, since the conversion cannot be undone."""
    size_px: tuple[int, int]
    steps: int
    num_decode_latents: tuple[int, ...]
    """Latent frames decoded at once: the first in the chunk, each in a decode by itself."""
    settings: tuple[Setting, ...] = ()
    """Whole chunks of the faster modes at other sizes and steps."""
    warmups: int
    """Unmeasured runs of each mode, the one that compiles included; 1 or more."""
    repeats: int
    """Measured runs of the faster modes."""
    plain_repeats: int
    """Measured runs of eager mode, which takes longest."""


def bench_stages(bench: StageBench, progress: Callable[[str], object] | None = None) -> StageReport:
    """Measure eager mode, then each faster one, and compare their outputs.

    Args:
        bench: What to measure.
        progress: Called with the name of each part when it begins; ``None`` reports nothing.
    """
    notify = progress or (lambda _text: None)
    networks = bench.networks
    report = StageReport([], [], [])
    counted: dict[bool, Mapping[str, Operations]] = {}
    notify(EAGER)
    inputs = random_inputs(networks, bench.size_px, bench.steps)
    _measure_mode(
        bench, EAGER, ExecutionMode(KernelOptions.eager(), sdpa), (1,), inputs, counted, report
    )
    notify("expected outputs")
    comparison = _Comparison(bench, inputs, report)
    for name, mode in bench.modes.items():
        notify(name)
        switch(networks, mode)
        _measure_mode(bench, name, mode, bench.num_decode_latents, inputs, counted, report)
        comparison.compare(name, mode)
        for setting in bench.settings:
            notify(f"{name} {setting}")
            _measure_setting(bench, name, setting, report)
    return report


def switch(networks: Networks, mode: ExecutionMode) -> None:
    """Switch ``networks`` to another mode; layers that became FP8 stay so."""
    set_attention(networks.dit, mode.attention)
    device = networks.dit.patch_embedding.weight.device
    convert_blocks(networks.dit, choose_format(float8=mode.float8), device)
    for network in (networks.dit, networks.vae):
        set_execution(network, mode.kernel_options, device)


class _Comparison:
    """Compares steps with eager mode, and the autoencoder with itself in float32.

    Eager mode of the autoencoder rounds after every operation, fused mode less often, so that
    they differ by what eager mode loses. Both are compared with float32, and fused mode may not
    be worse than eager mode beyond the bound.
    """

    def __init__(self, bench: StageBench, inputs: ChunkInputs, report: StageReport) -> None:
        self._bench, self._inputs, self._report = bench, inputs, report
        networks = bench.networks
        self._steps = step_outputs(networks, inputs)
        self._exact = vae_outputs(networks, inputs, 1, torch.float32)
        results = vae_outputs(networks, inputs, 1)
        loose = dict.fromkeys(results, MAX_ERROR_FLOAT8)
        rows = compare(EAGER, results, self._exact, loose)
        report.agreements.extend(rows)
        self._vae_bounds = {row.output: max(MAX_ERROR, row.relative_rms) for row in rows}

    def compare(self, name: str, mode: ExecutionMode) -> None:
        """Add rows for the mode the networks run in now."""
        networks, rows = self._bench.networks, self._report.agreements
        rounding = rounding_bound(
            networks.config.dit.num_layers, networks.dit.patch_embedding.weight.dtype
        )
        bounds = dict.fromkeys(self._steps, rounding if mode.is_exact else MAX_ERROR_FLOAT8)
        rows.extend(compare(name, step_outputs(networks, self._inputs), self._steps, bounds))
        results = vae_outputs(networks, self._inputs, self._bench.num_decode_latents[0])
        rows.extend(compare(name, results, self._exact, self._vae_bounds))


def describe(bench: StageBench) -> dict[str, Any]:
    """Return what was measured on what, as plain values."""
    weight = bench.networks.dit.patch_embedding.weight
    is_cuda = weight.device.type == "cuda"
    return {
        "model": bench.networks.config.name,
        "parameters": _count_weights(bench.networks.dit),
        "dtype": str(weight.dtype).removeprefix("torch."),
        "size_px": bench.size_px,
        "steps": bench.steps,
        "attention": {name: attention_name(mode.attention) for name, mode in bench.modes.items()},
        "decode_latents": bench.num_decode_latents[0],
        "repeats": bench.repeats,
        "plain_repeats": bench.plain_repeats,
        "device": torch.cuda.get_device_name(weight.device) if is_cuda else weight.device.type,
        "torch": torch.__version__,
    }


def _count_weights(dit: AvatarDiT) -> int:
    """Return the number of weights, those in FP8 included."""
    weights = dit.state_dict().items()
    return sum(value.numel() for name, value in weights if not name.endswith("weight_scale"))


def set_attention(dit: AvatarDiT, attention: Attention) -> None:
    """Put ``attention`` into every slot of a transformer."""
    for module in dit.modules():
        if hasattr(module, "attention"):
            module.attention = attention  # type: ignore[assignment]


def _measure_mode(
    bench: StageBench,
    name: str,
    mode: ExecutionMode,
    num_latents: tuple[int, ...],
    inputs: ChunkInputs,
    counted: dict[bool, Mapping[str, Operations]],
    report: StageReport,
) -> None:
    """Add the rows and the summary of one mode to ``report``; operations are counted once."""
    networks, device = bench.networks, inputs.motion_frames.device
    is_fused = mode.kernel_options.fused_blocks
    if is_fused not in counted:
        counted[is_fused] = count_operations(
            networks.config, bench.size_px, bench.steps, is_fused=is_fused
        )
    operations = counted[is_fused]
    rates = measure_rates(
        networks.dit,
        inputs.reference.session.rotation.shape[0],
        mode.attention,
        float8=mode.float8,
    )

    def run(clock: StageClock) -> None:
        run_chunk(networks, inputs, num_latents[0], clock)

    start_s = time.monotonic()
    first = measure(run, device, 0, 1)
    first_s = time.monotonic() - start_s
    repeats = bench.plain_repeats if name == EAGER else bench.repeats
    samples = measure(run, device, bench.warmups - 1, repeats)
    assert first.keys() == samples.keys(), (first.keys(), samples.keys())
    num_new = networks.config.chunk.num_new_frames
    report.summaries.append(summarise(name, first_s, samples, rates, num_new))
    for stage, found in samples.items():
        report.stages.append(stage_row(name, stage, found, operations.get(stage), rates))
    for count in num_latents[1:]:
        decode = partial(_decode, networks, inputs, count)
        found = measure_one(decode, device, bench.warmups, bench.repeats)
        stage = f"decode by {count}"
        report.stages.append(stage_row(name, stage, found, operations["decode"], rates))


def _measure_setting(bench: StageBench, name: str, setting: Setting, report: StageReport) -> None:
    """Add rows for a whole chunk at another size and number of steps."""
    networks = setting.networks(bench.networks)
    inputs = random_inputs(networks, setting.size_px, setting.steps)

    def run(clock: StageClock) -> None:
        run_chunk(networks, inputs, setting.num_decode_latents, clock)

    samples = measure(run, inputs.motion_frames.device, 1, min(3, bench.repeats))
    for stage in ("step 1", "decode", FIRST_FRAME, CHUNK):
        row = stage_row(name, f"{setting} {stage}", samples[stage], None, None)
        report.stages.append(row)


def _decode(networks: Networks, inputs: ChunkInputs, num_latents: int) -> None:
    """Decode the portrait's condition, whose latents are as many as a chunk's."""
    latent = inputs.reference.session.condition[:, -networks.config.vae.z_dim :]
    for _ in networks.vae.decode_groups(latent, num_latents):
        pass

"""Chunks on a GPU of which only part of the memory may be used, as on smaller cards."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..acceleration.apply import set_execution
from ..acceleration.kernel_options import KernelOptions
from ..config.avatar import AvatarConfig
from ..models.attention import Attention
from ..models.encoders.audio import AudioEncoder
from ..models.transformer.model import AvatarDiT
from ..models.vae.model import VideoVAE
from ..offload.blocks import BlockOffload
from ..placement.memory_choice import SYSTEM_BYTES, DeviceMemory, choose_memory
from ..placement.memory_plan import MemoryChoice, MemoryPlan
from ..placement.memory_sizes import ModelSizes, model_sizes
from ..quantization.blocks import BlockConverter
from ..quantization.fp8 import FP8
from ..quantization.packed.rounded_blocks import PackingHook, packings_of
from ..weights.plan import LayerHook
from .agreement import MIN_STD, step_outputs
from .one_chunk import CHUNK, run_chunk
from .random_networks import ChunkInputs, Networks, random_inputs, random_network
from .stage_clock import GIB, StageClock, StageSamples, measure

GB = 10**9
SYSTEM_GB = SYSTEM_BYTES / GB
"""Left to others on every card."""
LINK_GB_PER_S = 25.0
"""Host link of the estimate: PCIe 4.0 x16 as it is met in practice."""
_AUDIO = "audio projection"
_CONDITION = "condition"


@dataclass(frozen=True, kw_only=True)
class CardBench:
    """What is measured."""

    config: AvatarConfig
    attention: Attention
    kernel_options: KernelOptions
    """Execution mode; whether FP8 is used is the plan's choice."""
    device: torch.device
    dtype: torch.dtype
    size_px: tuple[int, int]
    steps: int
    num_decode_latents: int
    cards_gb: Sequence[float]
    fp8_unsupported: str | None
    """Why FP8 is not used; ``None`` if the plan may use it."""
    weights: str = "dense"
    """Form of the blocks' weights in the file: ``dense``, or one of :data:`ROUNDED`."""
    warmups: int
    repeats: int


@dataclass(frozen=True, kw_only=True)
class CardRow:
    """One card, or the whole GPU."""

    card_gb: float | None
    """``None`` without a limit."""
    plan: str
    float8: bool
    packed: bool
    """Whether blocks stay in the form of the file."""
    resident_blocks: int
    slabs: bool
    limit_gb: float | None
    held_gb: float
    """Most device memory that the allocator held, loading included; 0 off CUDA."""
    tensors_gb: float
    """Most of it that was in use at a time."""
    expected_gb: float
    """What the plan was chosen by."""
    chunk_s: float
    chunk_min_s: float
    chunk_max_s: float
    step_ms: float
    moved_gb: float
    """Weights copied to the device in each chunk."""
    estimate_25gb_s: float
    """Seconds a chunk if the host's link gave 25 GB/s: an estimate, not measured."""
    same_steps: bool
    """Whether every step is bit-equal to that of resident, unpacked blocks in the same dtype."""
    std: float
    """Of the steps' outputs."""
    passed: bool
    stages: dict[str, tuple[float, float | None]] = field(repr=False)
    """Median milliseconds and peak GiB of each stage."""


@dataclass(frozen=True)
class OutOfMemoryRow:
    """A card on which the plan did not fit."""

    card_gb: float | None
    plan: str
    passed: bool = False


def bench_cards(bench: CardBench) -> Iterator[CardRow | OutOfMemoryRow]:
    """Measure each card with its plan, and once without a limit in each dtype not seen whole."""
    sizes = model_sizes(
        bench.config,
        bench.size_px,
        bench.config.chunk,
        bench.dtype,
        bench.num_decode_latents,
        packings={} if bench.weights == "dense" else packings_of(bench.config, bench.weights),
    )
    plans = {card: _choose(bench, sizes, card) for card in bench.cards_gb}
    expected: dict[bool, dict[str, Tensor]] = {}
    for card_gb, plan in plans.items():
        is_whole = plan.num_resident is None and not plan.packed
        if plan.float8 not in expected and not is_whole:
            name = "FP8" if plan.float8 else str(bench.dtype).removeprefix("torch.")
            whole = MemoryPlan(float8=plan.float8, reason=f"no limit, all of the model in {name}")
            yield _measure(bench, None, whole, sizes.peak_bytes(whole), expected)
        yield _measure(bench, card_gb, plan, plan.peak_bytes, expected)


def _choose(bench: CardBench, sizes: ModelSizes, card_gb: float) -> MemoryPlan:
    total = round(card_gb * GB)
    memory = DeviceMemory(free=total - SYSTEM_BYTES, total=total)
    return choose_memory(MemoryChoice(), sizes, memory, fp8_unsupported=bench.fp8_unsupported)


def _measure(
    bench: CardBench,
    card_gb: float | None,
    plan: MemoryPlan,
    expected_bytes: int,
    expected: dict[bool, dict[str, Tensor]],
) -> CardRow | OutOfMemoryRow:
    limit = None if card_gb is None else round((card_gb - SYSTEM_GB) * GB)
    with _limited(bench.device, limit):
        try:
            return _run(bench, card_gb, plan, expected_bytes, expected)
        except torch.OutOfMemoryError:
            return OutOfMemoryRow(card_gb, plan.reason)


def _run(
    bench: CardBench,
    card_gb: float | None,
    plan: MemoryPlan,
    expected_bytes: int,
    expected: dict[bool, dict[str, Tensor]],
) -> CardRow:
    networks, offload = _networks(bench, plan)
    inputs = random_inputs(networks, bench.size_px, bench.steps)
    steps, same = _compare_steps(networks, inputs, expected.setdefault(plan.float8, {}))
    std = min(float(value.std()) for value in steps.values())
    before = _peaks_gb(bench.device)
    num_latents = 1 if plan.row_tiles else bench.num_decode_latents
    bench = replace(bench, num_decode_latents=num_latents)
    samples, moved = _time_chunks(bench, networks, inputs, offload)
    chunk = samples[CHUNK]
    limit_gb = None if card_gb is None else card_gb - SYSTEM_GB
    held, taken = map(max, before, _peaks_gb(bench.device))
    taken = max(taken, *((found.peak_gib or 0.0) * GIB / GB for found in samples.values()))
    num_blocks = bench.config.dit.num_layers
    return CardRow(
        card_gb=card_gb,
        plan=plan.reason,
        float8=plan.float8,
        packed=plan.packed,
        resident_blocks=num_blocks if plan.num_resident is None else plan.num_resident,
        slabs=plan.row_tiles,
        limit_gb=limit_gb,
        held_gb=held,
        tensors_gb=taken,
        expected_gb=expected_bytes / GB,
        chunk_s=chunk.median_ms / 1000,
        chunk_min_s=min(chunk.times_ms) / 1000,
        chunk_max_s=max(chunk.times_ms) / 1000,
        step_ms=sum(samples[f"step {n + 1}"].median_ms for n in range(bench.steps)) / bench.steps,
        moved_gb=sum(moved.values()) / GB,
        estimate_25gb_s=estimate_s(samples, moved, bench.steps),
        same_steps=same,
        std=std,
        passed=same and std >= MIN_STD and (limit_gb is None or held <= limit_gb),
        stages={name: (found.median_ms, found.peak_gib) for name, found in samples.items()},
    )


def _compare_steps(
    networks: Networks, inputs: ChunkInputs, expected: dict[str, Tensor]
) -> tuple[dict[str, Tensor], bool]:
    """Return every step's output, and whether each is the expected one.

    Args:
        networks: What runs.
        inputs: Its encoded image is replaced by the expected run's, which row tiles round
            otherwise.
        expected: Outputs of the first run in this dtype; filled in if empty.
    """
    session = inputs.reference.session
    condition = expected.setdefault(_CONDITION, session.condition.cpu())
    session = replace(session, condition=condition.to(session.condition.device))
    inputs = replace(inputs, reference=replace(inputs.reference, session=session))
    steps = {name: value.cpu() for name, value in step_outputs(networks, inputs).items()}
    same = all(
        torch.equal(expected.setdefault(name, found), found) for name, found in steps.items()
    )
    return steps, same


def estimate_s(
    samples: Mapping[str, StageSamples], moved: Mapping[str, float], num_steps: int
) -> float:
    """Estimate seconds a chunk with a link of 25 GB/s.

    Copies run concurrently with the computation, so that a stage takes the longer of what was
    measured and of what its copies would take.

    Args:
        samples: Measured stages.
        moved: Bytes copied in a chunk, for its ``audio`` and its ``step`` stages together.
        num_steps: Steps in a chunk.
    """
    link = LINK_GB_PER_S * GB / 1000
    waits = [max(0.0, moved.get("audio", 0) / link - samples[_AUDIO].median_ms)]
    waits += [
        max(0.0, moved.get("step", 0) / num_steps / link - samples[f"step {n + 1}"].median_ms)
        for n in range(num_steps)
    ]
    return (samples[CHUNK].median_ms + sum(waits)) / 1000


def _networks(bench: CardBench, plan: MemoryPlan) -> tuple[Networks, BlockOffload | None]:
    """Draw networks and bring them into the form that ``plan`` wants."""
    config, device, dtype = bench.config, bench.device, bench.dtype
    offload = None
    hooks: list[LayerHook[AvatarDiT]] = []
    if bench.weights != "dense":
        hooks.append(PackingHook(bench.weights, keeps_packed=plan.packed))
    if plan.float8:
        hooks.append(BlockConverter(FP8, device))
    if plan.num_resident is not None:
        offload = BlockOffload(device, plan.num_resident)
        hooks.append(offload)
    dit = random_network(lambda: AvatarDiT(config.dit, bench.attention), device, dtype, hooks)
    set_execution(dit, bench.kernel_options, device, provider=offload)
    vae = random_network(lambda: VideoVAE(config.vae), device, dtype)
    set_execution(vae, bench.kernel_options, device, row_tiles=plan.row_tiles)
    audio = random_network(lambda: AudioEncoder(config.audio), device, dtype)
    return Networks(config, dit, vae, audio), offload


def _time_chunks(
    bench: CardBench, networks: Networks, inputs: ChunkInputs, offload: BlockOffload | None
) -> tuple[dict[str, StageSamples], dict[str, float]]:
    """Return times and peaks of stages, and the bytes copied in one chunk."""

    def run(clock: StageClock) -> None:
        run_chunk(networks, inputs, bench.num_decode_latents, clock)

    measure(run, bench.device, bench.warmups - 1, 1)
    before = {} if offload is None else dict(offload.moved_bytes)
    samples = measure(run, bench.device, 0, bench.repeats)
    after = {} if offload is None else offload.moved_bytes
    moved = {work: (count - before[work]) / bench.repeats for work, count in after.items()}
    return samples, {str(work): count for work, count in moved.items()}


@contextmanager
def _limited(device: torch.device, limit_bytes: int | None) -> Iterator[None]:
    """Let the allocator have at most ``limit_bytes``; what it holds is given back around it."""
    if device.type != "cuda":
        yield
        return
    total = torch.cuda.get_device_properties(device).total_memory
    index = torch.cuda.current_device() if device.index is None else device.index
    _give_back(device)
    if limit_bytes is not None:
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit_bytes / total), index)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, index)
        _give_back(device)


def _give_back(device: torch.device) -> None:
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)


def _peaks_gb(device: torch.device) -> tuple[float, float]:
    """Return the most that the allocator held, and the most that tensors took, so far."""
    if device.type != "cuda":
        return 0.0, 0.0
    held, taken = torch.cuda.max_memory_reserved(device), torch.cuda.max_memory_allocated(device)
    return held / GB, taken / GB

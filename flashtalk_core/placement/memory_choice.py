"""The choice of how much of a model stays on its device, and in which dtype.

What changes the image depends on the card alone, so that the same settings give the same image on
it whatever else is running; the rest depends on the free memory.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from ..errors import InvalidInputError, require
from ..excerpt import excerpt, format_size
from ..quantization.fp8 import (
    fp8_missing_reason,
    fp8_unsupported_reason,
    multiplies_fp8,
)
from .memory_plan import WHOLE, MemoryChoice, MemoryPlan
from .memory_sizes import ModelSizes

SYSTEM_BYTES = 1_500_000_000
"""Memory of every card that the system, the display and the driver use."""
PROCESS_BYTES = 1_000_000_000
"""What each of several processes takes before it has a tensor: CUDA's context, NCCL's buffers."""

_SAME_SIZE = 1.02
"""Ratio of memory up to which cards are the same to a user."""


def check_choice(choice: MemoryChoice, device: torch.device) -> None:
    """Raise :class:`InvalidInputError` if ``device`` lacks the FP8 that is requested."""
    if choice.float8:
        _require_fp8(choice, fp8_unsupported_reason(device))


def _require_fp8(choice: MemoryChoice, reason: str | None) -> None:
    """Raise if FP8 is requested and ``reason`` says why the device cannot multiply it."""
    remedy = "use 'offload' or 'auto'" if choice.mode == "offload" else "leave float8 off"
    subject = "memory" if choice.mode == "offload" else "float8"
    opening = f"memory {choice}: " if choice.mode == "offload" else ""
    supported = reason is None or not choice.float8
    require(supported, f"{opening}{reason}; {remedy}", subject=subject)


def check_num_resident(choice: MemoryChoice, num_blocks: int) -> None:
    """Raise :class:`InvalidInputError` if more blocks are requested than a model has."""
    require(
        choice.num_resident is None or choice.num_resident <= num_blocks,
        f"memory {excerpt(choice)}: the model has {num_blocks} blocks; use {num_blocks} or fewer, "
        "or 'resident' for all of the model",
        subject="memory",
    )


@dataclass(frozen=True)
class DeviceMemory:
    """Memory of a device, in bytes."""

    free: int
    """Free memory."""
    total: int
    """All memory of the device, used or free."""
    name: str = ""
    """Of the device with the least free memory, where there are several."""
    note: str = ""
    """What of several devices decides, for the end of the reason."""

    @classmethod
    def unlimited(cls) -> DeviceMemory:
        """Return that of a device whose memory is not known."""
        return cls(sys.maxsize, sys.maxsize)


def choose_memory(
    choice: MemoryChoice, sizes: ModelSizes, memory: DeviceMemory, *, fp8_unsupported: str | None
) -> MemoryPlan:
    """Choose what is resident on the device.

    Args:
        choice: What the user requested.
        sizes: What the model takes.
        memory: Of the device.
        fp8_unsupported: Why the device cannot run FP8, for users; ``None`` if it can.

    Returns:
        The plan, with the reason for it.

    Raises:
        InvalidInputError: If it does not fit even with nothing resident, if FP8 is requested
            where it is not supported, or more resident blocks than there are.
    """
    _require_fp8(choice, fp8_unsupported)
    check_num_resident(choice, sizes.num_blocks)
    # float32 on a GPU is always an explicit choice.
    supports_fp8 = fp8_unsupported is None and sizes.dtype != torch.float32
    float8 = _uses_fp8(choice, sizes, memory, supports_fp8=supports_fp8)
    why = _dtype_reason(choice, sizes, memory, float8=float8) if supports_fp8 else ""
    candidates = _candidates(choice, sizes, float8)
    for plan in candidates:
        if sizes.peak_bytes(plan) <= memory.free:
            return _explained(plan, sizes, memory, why)
    plan = candidates[-1]
    if choice.mode != "resident":  # which is the user's own choice
        plan = _offloaded(choice, plan, sizes, memory)
    return _explained(plan, sizes, memory, why)


def _uses_fp8(
    choice: MemoryChoice, sizes: ModelSizes, memory: DeviceMemory, *, supports_fp8: bool
) -> bool:
    """Whether large layers become FP8; by default the size of the card alone decides.

    Row tiles are assumed here in any case: they take the same memory for every number of latent
    frames a call, which must not change the image either. A file of fewer bits than FP8, or of
    another kind, is not rounded once more unless that is requested.
    """
    if choice.float8 is not None or choice.mode != "auto":
        return bool(choice.float8)
    blocks = MemoryPlan(num_resident=sizes.num_blocks, row_tiles=True)
    supports_fp8 = supports_fp8 and (
        # Where it is only kept in FP8, the file's own FP8 is better.
        sizes.packed is None or (sizes.packed.is_fp8 and not sizes.stores_fp8)
    )
    return supports_fp8 and sizes.peak_bytes(blocks) > memory.total - SYSTEM_BYTES


def _dtype_reason(
    choice: MemoryChoice, sizes: ModelSizes, memory: DeviceMemory, *, float8: bool
) -> str:
    """Return why the dtype is what it is, empty where the user chose it."""
    is_requested = choice.float8 is not None or choice.mode != "auto"
    if is_requested or memory.total == sys.maxsize:
        return ""
    card = f"a card of {format_size(memory.total)}"
    if sizes.packed is not None and not float8:
        return ""
    if float8:
        return f"; FP8 because {card} is too small for all blocks in {_name(sizes.dtype)}"
    return f"; {_name(sizes.dtype)} because {card} has room for all blocks in it"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _candidates(choice: MemoryChoice, sizes: ModelSizes, float8: bool) -> list[MemoryPlan]:
    """Return plans in order of preference; the last one may be offloaded."""
    # What stays packed gives the same image and takes less memory, but more time.
    packed = [True] if sizes.packed is not None and not float8 else []
    if choice.mode == "resident":
        whole = replace(WHOLE, float8=float8)
        wholes = [replace(whole, packed=each) for each in (False, *packed)]
        tiled = [replace(each, row_tiles=True) for each in wholes]
        return [*_with_graphs(whole, sizes), *wholes, *tiled]
    plan = MemoryPlan(num_resident=sizes.num_blocks, float8=float8)
    if choice.mode == "auto":
        small = [replace(each, packed=True) for each in (WHOLE, plan) if packed]
        return [plan] if float8 else [*_with_graphs(WHOLE, sizes), WHOLE, plan, *small]
    if choice.num_resident is None:
        return [replace(plan, packed=each) for each in (False, *packed)]
    plan = replace(plan, num_resident=choice.num_resident)
    plans = [replace(plan, packed=each) for each in (False, *packed)]
    return [*plans, *(replace(each, row_tiles=True) for each in plans)]


def _with_graphs(plan: MemoryPlan, sizes: ModelSizes) -> list[MemoryPlan]:
    """Return ``plan`` with CUDA graphs, if any were requested."""
    return [] if sizes.graph == "off" else [replace(plan, graph=sizes.graph)]


def _offloaded(
    choice: MemoryChoice, plan: MemoryPlan, sizes: ModelSizes, memory: DeviceMemory
) -> MemoryPlan:
    """Return ``plan`` with as many resident blocks as fit.

    Row tiles make decoding slower and save little; blocks on the host cost almost no time.
    """
    where = f" on {memory.name}" if memory.name else ""
    if choice.num_resident is not None:
        raise InvalidInputError(
            f"memory {choice}{where}: that needs about {format_size(sizes.peak_bytes(plan))} of "
            f"device memory, {format_size(memory.free)} are free; use fewer blocks",
            subject="memory",
        )
    for row_tiles in (False, True):
        for count in reversed(range(sizes.num_blocks)):
            fewer = replace(plan, num_resident=count, row_tiles=row_tiles)
            if sizes.peak_bytes(fewer) <= memory.free:
                return fewer
    raise InvalidInputError(
        f"memory {choice}{where}: with no block on the device, about "
        f"{format_size(sizes.peak_bytes(fewer))} of its memory are needed at this size, "
        f"{format_size(memory.free)} are free; use a smaller size, or "
        + ("leave that GPU out" if where else "close what else uses the GPU"),
        subject="memory",
    )


def _explained(
    plan: MemoryPlan, sizes: ModelSizes, memory: DeviceMemory, why_dtype: str
) -> MemoryPlan:
    """Return ``plan`` with its reason."""
    products = f", multiplied in {_name(sizes.dtype)}" if sizes.stores_fp8 else ""
    name = f"FP8{products}" if plan.float8 else _name(sizes.dtype)
    name = "the file's own form" if plan.packed else name
    needed = _needed(sizes.peak_bytes(plan), memory.free)
    if plan.num_resident is None:
        resident = f"all of the model in {name}"
    elif plan.num_resident >= sizes.num_blocks:
        resident = f"all blocks in {name}, what runs once a session on the host"
    else:
        resident = (
            f"{plan.num_resident} of {sizes.num_blocks} blocks in {name}, the others on the host"
        )
    tail = ", frames in row tiles" if plan.row_tiles else ""
    reason = f"{resident}{tail}: needs about {needed}{why_dtype}{memory.note}"
    return replace(plan, peak_bytes=sizes.peak_bytes(plan), reason=reason)


def _needed(num_bytes: int, free_bytes: int) -> str:
    """Return both sizes, their unit once if they share it; what is free only where it is known."""
    needed, free = format_size(num_bytes), format_size(free_bytes)
    if free_bytes == sys.maxsize:
        return needed
    return f"{needed.removesuffix(free[-3:])} of {free}"


def plan_memory(
    choice: MemoryChoice,
    sizes: Callable[[], ModelSizes],
    device: torch.device,
    free_bytes: int | None = None,
    others: Sequence[torch.device] = (),
    *,
    stay_packed: bool = False,
) -> MemoryPlan:
    """Choose what is resident on each device of a render; see :func:`choose_memory`.

    Args:
        choice: What the user requested.
        sizes: Counts what the model takes; called only where that matters.
        device: Where the model runs. CPUs are assumed to have enough memory, as are devices that
            do not tell it.
        free_bytes: Device memory that may be used; ``None`` queries the device.
        others: GPUs that render together with ``device``, in processes of their own. The smallest
            card decides; only their size is queried, which makes no context of CUDA on them.
        stay_packed: Whether layers stay packed on a CPU; see :func:`.stay_packed_on_cpu`.
    """
    known = device_memory(device, free_bytes)
    if known is None and choice.mode != "offload":
        packed = stay_packed and device.type == "cpu" and not choice.float8
        return replace(WHOLE, float8=bool(choice.float8), packed=packed)
    memory = known or DeviceMemory.unlimited()
    if others:
        memory = _smallest(memory.free, device, others)
    # Trying products out would take memory of GPUs that this process does not use.
    reasons = (fp8_unsupported_reason(device), *map(fp8_missing_reason, others))
    unsupported = next(filter(None, reasons), None)
    stores_fp8 = unsupported is None and device.type != "cpu" and not multiplies_fp8(device)
    counted = replace(sizes(), stores_fp8=stores_fp8)
    return choose_memory(choice, counted, memory, fp8_unsupported=unsupported)


def device_memory(device: torch.device, free_bytes: int | None = None) -> DeviceMemory | None:
    """Return the memory of a GPU; ``None`` where it is not known, as of a CPU.

    Args:
        device: Which.
        free_bytes: What may be used of it; ``None`` asks the device.
    """
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        return DeviceMemory(free_memory(device) if free_bytes is None else free_bytes, total)
    if device.type == "mps" and torch.backends.mps.is_available():
        total = torch.mps.recommended_max_memory()
        free = total - torch.mps.current_allocated_memory()
    elif device.type == "xpu" and torch.xpu.is_available():
        free, total = torch.xpu.mem_get_info(device)
        free += torch.xpu.memory_reserved(device) - torch.xpu.memory_allocated(device)
    else:
        return None
    return DeviceMemory(free if free_bytes is None else free_bytes, total)


def _smallest(
    free_bytes: int, device: torch.device, others: Sequence[torch.device]
) -> DeviceMemory:
    """Return the memory that every GPU has; others are taken to be free but for the system."""
    devices = (device, *others)
    cards = [torch.cuda.get_device_properties(each) for each in devices]
    totals = [card.total_memory for card in cards]
    frees = [free_bytes, *(total - SYSTEM_BYTES for total in totals[1:])]
    names = [
        f"GPU {each.index or 0} ({card.name})" for each, card in zip(devices, cards, strict=True)
    ]
    free, least = min(frees), min(totals)
    note = ""
    if max(totals) > _SAME_SIZE * least:
        smallest = names[totals.index(least)]
        note = f"; planned for all as for {smallest} with {format_size(least)}, the smallest"
    return DeviceMemory(free - PROCESS_BYTES, least, names[frees.index(free)], note)


def free_memory(device: torch.device) -> int:
    """Return the bytes of free device memory, idle memory of this process included."""
    free, _total = torch.cuda.mem_get_info(device)
    idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free + idle

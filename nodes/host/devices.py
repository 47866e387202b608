"""Devices by names that mean the same on every machine, so that workflows can be shared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from weakref import WeakKeyDictionary

import comfy.model_management as management
import torch

from ...flashtalk_core.errors import InvalidInputError

_STEP_BYTES = 500_000_000
"""Steps in which free memory counts: a little more or less of it must not change a plan."""

_WITH_MEMORY = ("cuda", "xpu", "mps")
"""Kinds of device that tell how much of their memory is free."""

MAX_GPUS = 8
DEVICES = ("auto", "cpu", *(f"gpu:{index}" for index in range(MAX_GPUS)))
DTYPES = ("auto", "bfloat16", "float16", "float32")


def find_device(name: str, default: str = "auto") -> torch.device:
    """Return the device called ``name``; ``auto`` is the one ComfyUI works on.

    Args:
        name: One of :data:`DEVICES`.
        default: Name in the menu of the choice that every machine has, for messages.

    Raises:
        InvalidInputError: If this machine has no such GPU.
    """
    if name == "auto":
        return management.get_torch_device()
    if name == "cpu":
        return torch.device("cpu")
    gpus = [device for device in _all_devices() if device.type != "cpu"]
    index = int(name.partition(":")[2])
    if index >= len(gpus):
        raise InvalidInputError(
            f"device {name}: ComfyUI sees {len(gpus)} GPU(s) here; use {default!r} or 'cpu'",
            subject="device",
        )
    return gpus[index]


def _all_devices() -> list[torch.device]:
    # ComfyUI lists them from 0.23 on.
    listed: Callable[[], list[torch.device]] | None
    listed = getattr(management, "get_all_torch_devices", None)
    if listed is not None:
        return listed()
    used = management.get_torch_device()
    if used.type != "cuda":
        return [used]
    return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]


def find_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype called ``name``; ``auto`` is the best the device is fast in.

    Raises:
        InvalidInputError: If the device computes wrongly in it.
    """
    from ...flashtalk_core.models.half_precision import check_half_precision

    if name != "auto":
        dtype = getattr(torch, name)
        assert isinstance(dtype, torch.dtype), name
        check_half_precision(device, dtype)
        return dtype
    if management.is_device_cpu(device):
        return torch.float32
    if management.should_use_bf16(device):
        return torch.bfloat16
    return torch.float16 if management.should_use_fp16(device) else torch.float32


def usable_bytes(device: torch.device) -> int | None:
    """Return the memory of a GPU that other programs leave, ``None`` for other devices.

    What models of ComfyUI and the processes of a fleet take of it counts as free: these make room.
    """
    if device.type not in _WITH_MEMORY:
        return None
    free = _own_and_free_bytes(device)
    free += _fleet_bytes(device, free) - round(management.extra_reserved_memory())
    return free - free % _STEP_BYTES


class HoldsMemory(Protocol):
    """What is of interest here of a fleet; see :class:`~.runtime.fleet.Fleet`."""

    devices: tuple[str, ...]

    @property
    def is_running(self) -> bool:
        """Whether it has processes."""
        ...

    @property
    def peak_bytes(self) -> int:
        """The most memory that its processes take of each device now, as planned."""
        ...


_free_before: WeakKeyDictionary[HoldsMemory, int] = WeakKeyDictionary()
"""Free bytes of the first device of each fleet before its processes started."""


def note_fleet(fleet: HoldsMemory) -> None:
    """Note the free memory of a fleet's first device, before the fleet starts its processes.

    A plan is made for that device.
    """
    first = torch.device(fleet.devices[0])
    if first.type == "cuda":
        _free_before[fleet] = _own_and_free_bytes(first)


def _fleet_bytes(device: torch.device, free_bytes: int) -> int:
    """Return what the processes of a fleet hold on its first device, 0 for other devices.

    That is what is gone since before they started, but not more than was planned: the rest was
    taken by other programs.
    """
    name = f"{device.type}:{device.index or 0}"
    return sum(
        min(max(0, before - free_bytes), fleet.peak_bytes)
        for fleet, before in _free_before.items()
        if fleet.is_running and fleet.devices[0] == name
    )


def _own_and_free_bytes(device: torch.device) -> int:
    """Return the memory of a GPU that is free or of this process."""
    if device.type == "mps":
        return torch.mps.recommended_max_memory()
    kind = torch.xpu if device.type == "xpu" else torch.cuda
    free, _total = kind.mem_get_info(device)
    return int(free + kind.memory_reserved(device))

"""Devices by names that mean the same on every machine, so that workflows can be shared."""

from __future__ import annotations

from collections.abc import Callable

import comfy.model_management as management
import torch

from ...flashtalk_core.errors import InvalidInputError

_STEP_BYTES = 500_000_000
"""Steps in which free memory counts: a little more or less of it must not change a plan."""

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

    What models of ComfyUI take of it counts as free: these make room.
    """
    if device.type != "cuda":
        return None
    free, _total = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - round(management.extra_reserved_memory())
    return free - free % _STEP_BYTES

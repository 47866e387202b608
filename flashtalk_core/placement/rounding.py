"""What the last bits of a video depend on in addition to its settings: the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from functools import partial

import torch

from .devices import device_name

# What PyTorch and ComfyUI (``--fast``) let a GPU round differently; each where this PyTorch has it.
_CUDA_SWITCHES = (
    "allow_fp16_accumulation",
    "allow_fp16_reduced_precision_reduction",
    "allow_bf16_reduced_precision_reduction",
)


def rounding_of(device: torch.device) -> list[object]:
    """Return what sums on ``device`` depend on, as values that JSON can hold.

    A CPU splits them among its threads, and chooses kernels by what it can do. A GPU does neither;
    its libraries choose by its kind, their versions and a few switches.
    """
    found: list[object] = [
        device_name(device),
        _setting(torch.get_float32_matmul_precision),
        torch.are_deterministic_algorithms_enabled(),
    ]
    if device.type == "cpu":
        found += [torch.get_num_threads(), torch.backends.cpu.get_cpu_capability()]
        found += [torch.backends.mkldnn.is_available(), torch.backends.mkl.is_available()]
        found += [platform.machine(), platform.processor()]
    if device.type == "cuda":
        matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
        found += [torch.version.cuda, torch.version.hip, cudnn.version(), cudnn.benchmark]
        found.append(_setting(lambda: cudnn.allow_tf32))
        found += [_setting(partial(getattr, matmul, name, None)) for name in _CUDA_SWITCHES]
    return found


def _setting(read: Callable[[], object]) -> str:
    """Return a setting; PyTorch refuses to return one where its newer switches were used."""
    try:
        return str(read())
    except RuntimeError as error:
        return type(error).__name__


def num_encoder_threads() -> int:
    """Return in how many slices the video encoder cuts a frame: one for each core it may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

"""Launching of Triton's kernels on the device of their tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def launch(kernel: Any, grid: tuple[int, ...], like: Tensor, *args: Any, **sizes: Any) -> None:
    """Run ``kernel`` on the device of ``like``, which need not be the current one."""
    with torch.cuda.device_of(like):
        kernel[grid](*args, **sizes)

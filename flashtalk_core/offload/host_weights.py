"""Weights packed into pinned host memory."""

from __future__ import annotations

import contextlib
import logging
import weakref
from collections.abc import Sequence

import torch
from torch import Tensor

from ..log import printable_log

logger = printable_log(logging.getLogger(__name__))

_ALIGNMENT = 256
"""Bytes that tensors begin at multiples of: enough for every kernel's widest access."""


class HostWeights:
    """Tensors packed into one block of host memory, so that they move in one copy.

    The tensors themselves point into it, until they are pointed at a copy on a device.
    """

    def __init__(self, tensors: Sequence[Tensor], device: torch.device) -> None:
        """Copy ``tensors`` to the host.

        Args:
            tensors: Parameters and buffers; wherever they are, they point to the host afterwards.
            device: Where they will be copied to.
        """
        self._tensors = tuple(tensors)
        self.memory = torch.empty(_packed_bytes(tensors), dtype=torch.uint8, device="cpu")
        if device.type == "cuda":
            _pin(self.memory, self, device)
        for tensor, view in zip(tensors, self._views(self.memory), strict=True):
            view.copy_(tensor.detach())
            tensor.data = view

    def point_to(self, memory: Tensor) -> None:
        """Let the tensors point into ``memory``, which holds or will hold a copy of these."""
        for tensor, view in zip(self._tensors, self._views(memory), strict=True):
            tensor.data = view

    def _views(self, memory: Tensor) -> list[Tensor]:
        views, start = [], 0
        for tensor in self._tensors:
            stop = start + tensor.nbytes
            views.append(memory[start:stop].view(tensor.dtype).view(tensor.shape))
            start = _aligned(stop)
        return views


def _aligned(num_bytes: int) -> int:
    return -(-num_bytes // _ALIGNMENT) * _ALIGNMENT


def _packed_bytes(tensors: Sequence[Tensor]) -> int:
    return sum(_aligned(tensor.nbytes) for tensor in tensors)


def _pin(memory: Tensor, owner: object, device: torch.device) -> None:
    """Pin host memory while ``owner`` lives: a GPU then copies from it three times as fast.

    PyTorch's own pinned memory is not used, since it rounds each block up to a power of two.
    """
    runtime = torch.cuda.cudart()
    if int(runtime.cudaHostRegister(memory.data_ptr(), memory.numel(), 0)):
        _clear_error(device)
        logger.warning(
            "%d MiB of host memory cannot be pinned: weights will be copied to the GPU more slowly",
            memory.numel() // 2**20,
        )
        return
    unlock = weakref.finalize(owner, runtime.cudaHostUnregister, memory.data_ptr())
    unlock.atexit = False  # the process frees everything at its end


def _clear_error(device: torch.device) -> None:
    """Clear the runtime's last error, which the next kernel launch would report otherwise."""
    with contextlib.suppress(RuntimeError):
        torch.zeros(1, device=device).add_(1)

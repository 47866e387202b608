"""The interface of an offload, and moving tensors between host and device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Protocol

import torch
from torch import Tensor, nn


class Offload(Protocol):
    """Offloads a part of a network's weights to the host.

    A network with one must not be moved with ``to``.
    """

    @property
    def device_bytes(self) -> int:
        """Device memory of what stays there between two passes, buffers included."""
        ...

    def move_to(self, device: torch.device) -> None:
        """Move what stays on the device to ``device``, or off it to the host."""
        ...


def synchronize(device: torch.device) -> None:
    """Wait for all copies to ``device``: memory they read or write is about to be freed."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def move_tensors(tensors: Iterable[Tensor], device: torch.device) -> None:
    """Move parameters and buffers in place, in inference mode too."""
    with torch.inference_mode(False):
        for tensor in tensors:
            tensor.data = tensor.data.to(device)


def tensors_of(module: nn.Module) -> Iterator[Tensor]:
    """Yield the parameters and buffers of ``module``."""
    return chain(module.parameters(), module.buffers())

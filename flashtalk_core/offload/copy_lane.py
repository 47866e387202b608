"""Copies to a device in parallel with its work."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class CopyLane(Protocol):
    """Copies in parallel with the work of a device, synchronized with it."""

    def copy(self, buffer: int, target: Tensor, source: Tensor) -> None:
        """Copy into ``buffer`` when the work before its last release is done."""
        ...

    def wait(self, buffer: int) -> None:
        """Let the work that follows wait for the copy into ``buffer``."""
        ...

    def release(self, buffer: int) -> None:
        """Declare that no later work uses what is in ``buffer``."""
        ...

    def join(self) -> None:
        """Let the work that follows wait for all copies."""
        ...


class HostLane:
    """Copies at once; for devices without streams."""

    def copy(self, _buffer: int, target: Tensor, source: Tensor) -> None:
        """Copy before returning."""
        target.copy_(source)

    def wait(self, buffer: int) -> None:
        """Do nothing: the copy is done."""

    def release(self, buffer: int) -> None:
        """Do nothing: the work before is done."""

    def join(self) -> None:
        """Do nothing: all copies are done."""


class _CudaLane:
    """Copies on a stream of their own."""

    def __init__(self, device: torch.device, num_buffers: int) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._copied = [torch.cuda.Event() for _ in range(num_buffers)]
        self._released = [torch.cuda.Event() for _ in range(num_buffers)]

    def copy(self, buffer: int, target: Tensor, source: Tensor) -> None:
        self._stream.wait_event(self._released[buffer])
        with torch.cuda.stream(self._stream):
            target.copy_(source, non_blocking=True)
        self._copied[buffer].record(self._stream)

    def wait(self, buffer: int) -> None:
        torch.cuda.current_stream(self._device).wait_event(self._copied[buffer])

    def release(self, buffer: int) -> None:
        self._released[buffer].record(torch.cuda.current_stream(self._device))

    def join(self) -> None:
        torch.cuda.current_stream(self._device).wait_stream(self._stream)


def open_lane(device: torch.device, num_buffers: int) -> CopyLane:
    """Return a lane for copies into ``num_buffers`` buffers on ``device``."""
    return _CudaLane(device, num_buffers) if device.type == "cuda" else HostLane()

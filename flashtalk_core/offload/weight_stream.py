"""Weights in host memory that are streamed to the device while their layers run."""

from __future__ import annotations

import contextlib
import logging
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Protocol

import torch
from torch import Tensor, nn

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


class WeightStream:
    """Streams the weights of layers to the device, one after the other, in a ring of buffers.

    While a layer computes, the next ones are copied on a stream of their own. After the last
    layer come the first ones again, for the next pass. Results equal those of resident
    layers: the same numbers are multiplied by the same kernels.
    """

    def __init__(
        self,
        layers: Mapping[int, HostWeights],
        device: torch.device,
        *,
        num_buffers: int = 2,
        is_cyclic: bool = True,
    ) -> None:
        """Copy nothing yet.

        Args:
            layers: Weights of layers by their number; these run in order of their numbers.
            device: Where they run.
            num_buffers: Layers that are on the device at a time.
            is_cyclic: Whether the first layers are fetched again when the last ones run. If
                not, the buffers are freed after the last one.
        """
        self._numbers = sorted(layers)
        self._places = {number: place for place, number in enumerate(self._numbers)}
        self._layers = [layers[number] for number in self._numbers]
        self._device = device
        self._num_buffers = min(num_buffers, len(layers))
        self._is_cyclic = is_cyclic
        self._buffers: list[Tensor] = []
        self._held: list[int | None] = []
        self._lane: CopyLane = _HostLane()
        self.moved_bytes = 0
        """Copied to the device so far."""

    @property
    def buffer_bytes(self) -> int:
        """Device memory of the buffers while they are allocated."""
        return self._num_buffers * max((each.memory.numel() for each in self._layers), default=0)

    def begin(self, number: int) -> None:
        """Make later work wait for the weights of layer ``number``, if it is streamed."""
        place = self._places.get(number)
        if place is None:
            return
        if not self._buffers:
            self._open()
        buffer = place % self._num_buffers
        if self._held[buffer] != place:  # a pass was interrupted
            self._lane.release(buffer)
            self._fetch(place)
        self._lane.wait(buffer)

    def end(self, number: int) -> None:
        """Reuse the buffer of layer ``number`` for a later one, once its work is done."""
        place = self._places.get(number)
        if place is None:
            return
        self._lane.release(place % self._num_buffers)
        following = place + self._num_buffers
        if following < len(self._layers):
            self._fetch(following)
        elif self._is_cyclic:
            self._fetch(place % self._num_buffers)
        elif place == len(self._layers) - 1:
            self.close()

    def close(self) -> None:
        """Free the buffers; the weights point to the host again."""
        if not self._buffers:
            return
        self._lane.join()
        with torch.inference_mode(False):
            for layer in self._layers:
                layer.point_to(layer.memory)
        self._buffers, self._held = [], []

    def _open(self) -> None:
        size = self.buffer_bytes // self._num_buffers
        # A host may run everything in inference mode; tensors made there cannot be used elsewhere.
        with torch.inference_mode(False):
            self._buffers = [
                torch.empty(size, dtype=torch.uint8, device=self._device)
                for _ in range(self._num_buffers)
            ]
            for place, layer in enumerate(self._layers):
                layer.point_to(self._buffers[place % self._num_buffers])
        self._held = [None] * self._num_buffers
        is_cuda = self._device.type == "cuda"
        self._lane = _CudaLane(self._device, self._num_buffers) if is_cuda else _HostLane()
        for buffer in range(self._num_buffers):
            self._lane.release(buffer)
            self._fetch(buffer)

    def _fetch(self, place: int) -> None:
        buffer = place % self._num_buffers
        if self._held[buffer] == place:
            return
        source = self._layers[place].memory
        self._lane.copy(buffer, self._buffers[buffer][: source.numel()], source)
        self._held[buffer] = place
        self.moved_bytes += source.numel()


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


class _HostLane:
    """Copies at once; for devices without streams."""

    def copy(self, _buffer: int, target: Tensor, source: Tensor) -> None:
        target.copy_(source)

    def wait(self, buffer: int) -> None:
        pass

    def release(self, buffer: int) -> None:
        pass

    def join(self) -> None:
        pass


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

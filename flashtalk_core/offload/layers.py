"""A stack of layers whose weights are on the host and streamed to the device one by one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from .host_weights import HostWeights
from .tensors import move_tensors, tensors_of
from .weight_stream import WeightStream


class LayerOffload:
    """Streams every layer of a stack that runs once from front to back, such as an encoder's."""

    def __init__(self, list_name: str, device: torch.device) -> None:
        """Prepare for a network.

        Args:
            list_name: Where the layers are in it, such as ``encoder.block``.
            device: Where they run.
        """
        self.list_name = list_name
        self._device = device
        self._module = nn.Module()
        self._layers: nn.ModuleList = nn.ModuleList()
        self._weights: dict[int, HostWeights] = {}
        self._stream = WeightStream({}, device)

    def on_module_built(self, module: nn.Module) -> None:
        """Receive the layers of ``module``, whose weights come with :meth:`on_layer_loaded`."""
        self._module = module
        self._layers = cast("nn.ModuleList", module.get_submodule(self.list_name))

    def on_layer_loaded(self, number: int) -> None:
        """Move a layer to the host, whose weights have all been read."""
        layer = self._layers[number]
        self._weights[number] = HostWeights(list(tensors_of(layer)), self._device)
        if len(self._weights) == len(self._layers):
            self._stream = WeightStream(self._weights, self._device, is_cyclic=False)
            for each, streamed in enumerate(self._layers):
                streamed.register_forward_pre_hook(partial(_begin, self._stream, each))
                streamed.register_forward_hook(partial(_end, self._stream, each))

    @property
    def device_bytes(self) -> int:
        """Device memory in use while it runs."""
        return sum(tensor.nbytes for tensor in self._others()) + self._stream.buffer_bytes

    def move_to(self, device: torch.device) -> None:
        """Move what is not in the stack to ``device``, and free the buffers."""
        self._stream.close()
        move_tensors(self._others(), device)

    def _others(self) -> Iterator[Tensor]:
        inside = {id(tensor) for tensor in tensors_of(self._layers)}
        return (each for each in tensors_of(self._module) if id(each) not in inside)


def _begin(stream: WeightStream, number: int, *_: Any) -> None:
    stream.begin(number)


def _end(stream: WeightStream, number: int, *_: Any) -> None:
    stream.end(number)

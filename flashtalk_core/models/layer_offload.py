"""A stack of layers whose weights wait on the host and visit the device one after the other."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import Any, cast

import torch
from torch import nn

from .weight_stream import HostWeights, WeightStream


class LayerOffload:
    """Streams every layer of a stack that runs once from front to back, such as an encoder's."""

    def __init__(self, list_name: str, device: torch.device) -> None:
        """Wait for a network.

        Args:
            list_name: Where the layers are in it, such as ``encoder.block``.
            device: Where they run.
        """
        self.list_name = list_name
        self._device = device
        self._layers: nn.ModuleList = nn.ModuleList()
        self._weights: dict[int, HostWeights] = {}

    def start(self, module: nn.Module) -> None:
        """Take over the layers of ``module``, whose weights come with :meth:`take`."""
        self._layers = cast("nn.ModuleList", module.get_submodule(self.list_name))

    def take(self, number: int) -> None:
        """Move a layer to the host, whose weights are all there now."""
        layer = self._layers[number]
        self._weights[number] = HostWeights(
            list(chain(layer.parameters(), layer.buffers())), self._device
        )
        if len(self._weights) == len(self._layers):
            self._stream(WeightStream(self._weights, self._device, is_cyclic=False))

    def _stream(self, stream: WeightStream) -> None:
        for number, layer in enumerate(self._layers):
            layer.register_forward_pre_hook(partial(_begin, stream, number))
            layer.register_forward_hook(partial(_end, stream, number))


def _begin(stream: WeightStream, number: int, *_: Any) -> None:
    stream.begin(number)


def _end(stream: WeightStream, number: int, *_: Any) -> None:
    stream.end(number)

"""Weights in host memory that are streamed to the device while their layers run."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .copy_lane import CopyLane, HostLane, open_lane
from .host_weights import HostWeights


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
        self._lane: CopyLane = HostLane()
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
        self._lane = open_lane(self._device, self._num_buffers)
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

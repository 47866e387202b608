"""Functions of tensors captured once as a CUDA graph and replayed, without gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_WARM_UP_CALLS = 2


@dataclass(frozen=True)
class _Recording:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    output: Tensor


class Captured:
    """A function whose many small kernels are launched at once on a GPU; elsewhere as it is.

    What the function reads other than its arguments must stay where it is in memory, such as
    weights that are trained in place.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        """Wrap ``function``; it is recorded once for every combination of shapes."""
        self._function = function
        self._recordings: dict[tuple[torch.Size, ...], _Recording] = {}

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return what the function does."""
        if inputs[0].device.type != "cuda":
            return self._function(*inputs)
        shapes = tuple(value.shape for value in inputs)
        if shapes not in self._recordings:
            self._recordings[shapes] = self._record(inputs)
        recording = self._recordings[shapes]
        for held, value in zip(recording.inputs, inputs, strict=True):
            held.copy_(value)
        recording.graph.replay()
        return recording.output.clone()

    def _record(self, inputs: tuple[Tensor, ...]) -> _Recording:
        """Record a call; the generator of random numbers is left as it was."""
        device = inputs[0].device
        held = tuple(value.clone() for value in inputs)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(device), torch.random.fork_rng(devices=[device]):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(_WARM_UP_CALLS):
                    self._function(*held)
            torch.cuda.current_stream().wait_stream(side)
            with torch.cuda.graph(graph):
                output = self._function(*held)
        return _Recording(graph, held, output)

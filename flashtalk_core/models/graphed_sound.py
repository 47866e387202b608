"""The sound encoder as one CUDA graph: its kernels are too small to launch one by one.

Axis legend: B batch, S samples, F video frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

_WARMUPS = 3


class GraphedSound:
    """Records an encoder at its first call and replays it afterwards.

    A recording holds the addresses of the weights. It is made anew when a weight has moved, or
    when another length of sound comes.
    """

    def __init__(self) -> None:
        """Record nothing yet."""
        self._key: tuple[object, ...] = ()
        self._graph: torch.cuda.CUDAGraph | None = None
        self._input = self._output = torch.empty(0)

    def takes(self, samples: Tensor) -> bool:
        """Tell whether a graph can run these samples."""
        return samples.is_cuda and not torch.is_grad_enabled()

    def __call__(
        self,
        encode: Callable[[Tensor, int], Tensor],
        weights: Iterable[Tensor],
        samples: Tensor,
        num_frames: int,
    ) -> Tensor:
        """Encode.

        Args:
            encode: Takes samples and frames.
            weights: All that it reads beside them.
            samples: ``(B, S)`` float32 on a GPU.
            num_frames: F.

        Returns:
            What ``encode`` returns.
        """
        key = (samples.shape, num_frames, *(weight.data_ptr() for weight in weights))
        if key != self._key:
            self._record(encode, samples, num_frames)
            self._key = key
        assert self._graph is not None
        self._input.copy_(samples)
        self._graph.replay()
        return self._output.clone()

    def _record(
        self, encode: Callable[[Tensor, int], Tensor], samples: Tensor, num_frames: int
    ) -> None:
        self._graph, self._key = None, ()
        self._input = samples.clone()
        stream = torch.cuda.Stream(samples.device)
        stream.wait_stream(torch.cuda.current_stream(samples.device))
        with torch.cuda.stream(stream):
            for _ in range(_WARMUPS):
                encode(self._input, num_frames)
        torch.cuda.current_stream(samples.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._output = encode(self._input, num_frames)
        self._graph = graph

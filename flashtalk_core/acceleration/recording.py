"""Calls recorded as CUDA graphs: all of their kernels are launched at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from ..excerpt import first_line
from ..log import printable_log

logger = printable_log(logging.getLogger(__name__))

Run = Callable[[], Tensor]
"""A call without arguments: it reads tensors that stay where they are in memory."""
Capture = Callable[[Run, torch.device], Run]
"""Returns what repeats the kernels of a call; each call of it returns the same tensor."""


def capture(run: Run, device: torch.device) -> Run:
    """Record a call as a CUDA graph. Nothing is computed until the result is called.

    Args:
        run: Has run before in this thread: kernels that are built, and libraries that are set up,
            allocate and wait, which is not allowed while a stream is recorded.
        device: Where it runs.
    """
    with suppress(torch.OutOfMemoryError):
        return _capture(run, device)
    # While a stream is recorded, PyTorch cannot give idle memory back to make room.
    torch.cuda.empty_cache()
    return _capture(run, device)


def _capture(run: Run, device: torch.device) -> Run:
    with torch.cuda.device(device):
        side, current = _side_stream(device), torch.cuda.current_stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            _make_room(device)
            graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
            # Other threads go on allocating, for example for the encoder of the video.
            graph.capture_begin(pool, capture_error_mode="thread_local")
            try:
                output = run()
            except BaseException:
                with suppress(RuntimeError):  # says once more that something went wrong
                    _end(graph, device, pool)
                raise
            _end(graph, device, pool)
        current.wait_stream(side)

    def replay() -> Tensor:
        graph.replay()
        return output

    return replay


def _make_room(device: torch.device) -> None:
    """Let the allocator hold what PyTorch allocates for its random numbers when recording begins.

    A graph that failed to begin ends the process when it is freed.
    """
    _room = [torch.empty(1, dtype=torch.int64, device=device) for _ in range(2)]


def _end(graph: torch.cuda.CUDAGraph, device: torch.device, pool: Any) -> None:
    """End a recording.

    If CUDA refuses to, PyTorch's allocator goes on as if it were recording, and some of what
    becomes free would never be used again. So that is ended by hand. Where PyTorch had ended it
    before something else failed, the graph releases the pool, and twice would end the process.
    """
    try:
        graph.capture_end()
    except RuntimeError:
        if not _has_ended(graph):
            with suppress(RuntimeError, AttributeError):
                torch._C._cuda_endAllocateToPool(device.index, pool)
                torch._C._cuda_releasePool(device.index, pool)
        raise


def _has_ended(graph: torch.cuda.CUDAGraph) -> bool:
    """Whether the recording was ended: only then a graph tells its pool, and releases it."""
    try:
        graph.pool()
    except RuntimeError:
        return False
    return True


def is_recording(device: torch.device) -> bool:
    """Whether someone else records what runs on ``device`` now."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream for all recordings: cuBLAS keeps a workspace for each stream it sees."""
    return torch.cuda.Stream(device)


class Recording:
    """A call that runs eagerly at first, is recorded the second time, and replayed from then on.

    The first time builds kernels and sets up libraries. A call that is made only once is never
    recorded.
    """

    def __init__(self, device: torch.device, capture: Capture = capture) -> None:
        """Record nothing yet; ``capture`` is a stand-in in tests."""
        self._device = device
        self._capture = capture
        self._is_warm = False
        self._replay: Run | None = None

    def __call__(self, run: Run) -> Tensor:
        """Return what ``run`` returns, in memory of its own.

        Args:
            run: The same call each time, on tensors that stay where they are. Not kept.
        """
        if not self._is_warm:
            out = run()
            self._is_warm = True
            return out
        if self._replay is None:
            self._replay = self._capture(run, self._device)
        return self._replay().clone()


class Addresses:
    """Where the weights of a network are: a graph reads them there, wherever they are moved."""

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        """Note the addresses. Layers must not be replaced afterwards, only moved."""
        self._owners = [
            tensors
            for module in layers
            for tensors in (module._parameters, module._buffers)
            if tensors
        ]
        self._found = self._now()

    def have_changed(self) -> bool:
        """Whether any of the weights was moved; takes a fraction of a millisecond."""
        return self._now() != self._found

    def _now(self) -> list[int]:
        return [
            tensor.data_ptr()
            for owner in self._owners
            for tensor in owner.values()
            if tensor is not None
        ]


def fixed_copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return copies that may be filled again in any mode.

    ComfyUI runs nodes in inference mode, and what is allocated in it cannot be changed outside.
    """
    with torch.inference_mode(False):
        copies = [torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device)
                  for x in tensors]  # fmt: skip
    refill(copies, tensors)
    return copies


def refill(copies: Sequence[Tensor], tensors: Sequence[Tensor]) -> None:
    """Copy each of ``tensors`` into one of ``copies``, of the same shape."""
    for copy, tensor in zip(copies, tensors, strict=True):
        copy.copy_(tensor)


def report_failure(what: str, error: Exception) -> None:
    """Log why ``what`` is launched kernel by kernel from now on."""
    logger.warning(
        "%s cannot be recorded as a CUDA graph here, launching its kernels one by one: %s: %s",
        what, type(error).__name__, first_line(error),
    )  # fmt: skip

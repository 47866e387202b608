"""Noise that depends on the seed and the chunk alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

Shape = tuple[int, ...]
DrawNoise = Callable[[Shape, torch.device, torch.dtype], Tensor]
"""Draws unit normal noise of a shape; see :meth:`ChunkNoise.draw`."""

_FEWEST_AHEAD = 2**16
"""Numbers that are worth a thread: a core draws 150 in a microsecond."""


class ChunkNoise:
    """Noise of one chunk: the same on any device, any number of GPUs, and after a resume."""

    def __init__(self, seed: int, chunk_index: int) -> None:
        """Seed a CPU generator of its own by ``(seed, chunk_index)``."""
        words = np.random.SeedSequence((seed, chunk_index)).generate_state(2, np.uint32)
        self._generator = torch.Generator().manual_seed(int(words[0]) << 31 ^ int(words[1]))

    def draw(self, shape: Shape, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Draw unit normal noise in float32 and move it to ``device`` and ``dtype``."""
        return _moved(self.numbers(shape), device, dtype)

    def numbers(self, shape: Shape) -> Tensor:
        """Draw unit normal noise, float32 on the CPU."""
        return torch.randn(shape, generator=self._generator, dtype=torch.float32)


def _moved(noise: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    if device.type == "cuda":
        # From pageable memory the copy would wait for all work on the device.
        return noise.pin_memory().to(device, dtype, non_blocking=True)
    return noise.to(device=device, dtype=dtype)


class NoiseAhead:
    """Noise of one chunk after the other, equal to the bit to :class:`ChunkNoise`.

    Only the first draw of a chunk keeps a GPU waiting: the others are made while it computes. So
    once a chunk has its first noise, a thread draws that of the next one. On a CPU, whose cores
    are all at work, and for small images it does not.
    """

    def __init__(self) -> None:
        """Start no thread yet."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="noise")
        self._next: tuple[tuple[int, int, Shape], ChunkNoise, Future[Tensor]] | None = None

    def of_chunk(self, seed: int, chunk_index: int) -> DrawNoise:
        """Return the source of a chunk's noise, to be used in order and by one thread."""
        noise: ChunkNoise | None = None

        def draw(shape: Shape, device: torch.device, dtype: torch.dtype) -> Tensor:
            nonlocal noise
            if noise is not None:
                return noise.draw(shape, device, dtype)
            noise, first = self._first(seed, chunk_index, shape)
            if device.type == "cuda" and first.numel() >= _FEWEST_AHEAD:
                self._draw_ahead(seed, chunk_index + 1, shape)
            return _moved(first, device, dtype)

        return draw

    def _first(self, seed: int, chunk_index: int, shape: Shape) -> tuple[ChunkNoise, Tensor]:
        """Return a chunk's generator, and its first numbers."""
        ahead, self._next = self._next, None
        if ahead is not None and ahead[0] == (seed, chunk_index, shape):
            return ahead[1], ahead[2].result()
        noise = ChunkNoise(seed, chunk_index)
        return noise, noise.numbers(shape)

    def _draw_ahead(self, seed: int, chunk_index: int, shape: Shape) -> None:
        noise = ChunkNoise(seed, chunk_index)
        drawn = self._thread.submit(noise.numbers, shape)
        self._next = (seed, chunk_index, shape), noise, drawn

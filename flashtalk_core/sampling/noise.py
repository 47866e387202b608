"""Noise that depends on the seed and the chunk alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class ChunkNoise:
    """Noise of one chunk: the same on any device, any number of GPUs, and after a resume."""

    def __init__(self, seed: int, chunk_index: int) -> None:
        """Seed a CPU generator of its own by ``(seed, chunk_index)``."""
        words = np.random.SeedSequence((seed, chunk_index)).generate_state(2, np.uint32)
        self._generator = torch.Generator().manual_seed(int(words[0]) << 31 ^ int(words[1]))

    def draw(self, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
        """Draw unit normal noise in float32 and move it to ``device`` and ``dtype``."""
        noise = torch.randn(shape, generator=self._generator, dtype=torch.float32)
        if device.type == "cuda":
            # From pageable memory the copy would wait for all work on the device.
            return noise.pin_memory().to(device, dtype, non_blocking=True)
        return noise.to(device=device, dtype=dtype)

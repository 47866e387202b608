"""Audio joined into blocks, silent blocks, and audio cut where its track ends.

Axis legend: C channels, n samples; a block is ``(C, n)``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..source import BLOCK_SAMPLES, Block

# Most samples after a track's stated end that count as encoder padding: two frames of HE-AAC.
_MAX_PADDING = 4096


def joined_blocks(parts: Iterator[Block]) -> Iterator[Block]:
    """Join what frames hold, often only 1024 samples, into larger blocks."""
    waiting: list[Block] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += part.shape[1]
        if size >= BLOCK_SAMPLES:
            yield np.concatenate(waiting, axis=1)
            waiting, size = [], 0
    if waiting:
        yield np.concatenate(waiting, axis=1)


def silent_blocks(channels: int, num_samples: int) -> Iterator[Block]:
    """Yield silence in blocks: memory stays the same however long it is."""
    for start in range(0, num_samples, BLOCK_SAMPLES):
        yield np.zeros((channels, min(BLOCK_SAMPLES, num_samples - start)), np.float32)


def without_padding(blocks: Iterator[Block], limit: int) -> Iterator[Block]:
    """Drop what follows sample ``limit`` if it is short enough to be padding."""
    seen = 0
    tail: list[Block] = []
    for block in blocks:
        if tail or seen + block.shape[1] > limit:
            head, rest = np.split(block, [max(0, limit - seen)], axis=1)
            tail.append(rest)
            if sum(part.shape[1] for part in tail) > _MAX_PADDING:
                # The stated length is wrong; the audio is not.
                yield np.concatenate([head, *tail], axis=1)
                yield from blocks
                return
            block = head
        seen += block.shape[1]
        if block.shape[1]:
            yield block

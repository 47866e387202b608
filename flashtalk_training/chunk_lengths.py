"""Chunks of other lengths than the model's own, and what is heard after their last frame.

A file is rendered with all that is said after a chunk; a live session has nothing of it, or a few
frames, and shorter chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.errors import require
from flashtalk_core.live.chunks import live_chunks
from flashtalk_core.live.decide import Policy


def chunk_of(chunk: ChunkConfig, num_frames: int | None, look_ahead: int | None) -> ChunkConfig:
    """Return the arithmetic of chunks of another length, or with less to hear.

    Args:
        chunk: Of the model.
        num_frames: F of a chunk, motion frames included; ``None`` for the model's own.
        look_ahead: Frames of sound after a chunk's last one, as in a live session; ``None`` for
            all that the model's window holds, as in a file.

    Raises:
        InvalidInputError: If there cannot be chunks of this length, or such a look-ahead.
    """
    length = chunk.num_frames if num_frames is None else num_frames
    ahead = Policy(look_ahead=look_ahead or 0).look_ahead
    (live,) = live_chunks(chunk, [length], ahead)
    return replace(chunk, num_frames=length) if look_ahead is None else live


def check_lengths(chunk: ChunkConfig, lengths: Sequence[int]) -> None:
    """Raise unless chunks of these lengths are beginnings of the model's own ones.

    Raises:
        InvalidInputError: With the length at fault.
    """
    live_chunks(chunk, lengths)
    for length in lengths:
        require(
            length <= chunk.num_frames,
            f"chunk of {length} frames: training clips have {chunk.num_frames}; use at most these",
        )

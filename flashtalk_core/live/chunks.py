"""Chunks of a live session: of several lengths, and with no sound after their end, or little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..config.chunk import ChunkConfig
from ..errors import require


def live_chunk(chunk: ChunkConfig, num_frames: int, look_ahead: int = 0) -> ChunkConfig:
    """Return the arithmetic of a live chunk: its window ends with it, or shortly after.

    Args:
        chunk: Of the model.
        num_frames: F of the chunk, motion frames included.
        look_ahead: Frames of sound after the last one that the window holds.
    """
    num_new = num_frames - chunk.num_motion_frames
    lookback = chunk.audio_context_frames - num_new - look_ahead
    return replace(chunk, num_frames=num_frames, audio_lookback_frames=lookback)


def live_chunks(
    chunk: ChunkConfig, lengths: Sequence[int], look_ahead: int = 0
) -> list[ChunkConfig]:
    """Return the arithmetic of chunks of several lengths; see :func:`live_chunk`.

    Raises:
        InvalidInputError: If there cannot be chunks of such lengths.
    """
    longest = chunk.audio_context_frames - look_ahead
    for length in lengths:
        require(
            chunk.num_motion_frames < length <= longest and length % 4 == 1,
            f"chunk of {length} frames: use 4n + 1, from {chunk.num_motion_frames + 4} to "
            f"{(longest - 1) // 4 * 4 + 1}; 33 (FlashTalk) or 81 (InfiniteTalk) is as trained",
            subject="chunk_frames",
        )
    require(
        len(set(lengths)) == len(lengths),
        f"chunk lengths {', '.join(map(str, lengths))}: one is named twice; name each once",
        subject="chunk_frames",
    )
    return [live_chunk(chunk, length, look_ahead) for length in lengths]

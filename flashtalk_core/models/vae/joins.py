"""Smoother joins: what changes when a frame is decoded again is faded out over new frames.

The last frame that is shown of a chunk is the last motion frame of the next one, which decodes it
again and hides it. New frames go on from that hidden one, so the picture jumps by the difference of
the two. It is known at the join, without anything to be remembered: the shown frame is an input of
the chunk. A share of the step from the hidden frame to the first new one is held back as well: that
step, too, is larger than those within a group of frames that are decoded from one latent frame.

Axis legend: F frames, H W pixels; leading axes, such as channels, are arbitrary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ...config.chunk import ChunkConfig

_HELD_BACK = 0.1
"""Share of the step onward: with it a join changes no more than any other border of latent frames
(docs/training/LOG.md)."""


def num_faded_frames(wanted: int, chunk: ChunkConfig) -> int:
    """Return how many new frames of a chunk may be changed, at most ``wanted``.

    Those that the next chunk goes on from stay as they are: a change would be passed on from chunk
    to chunk.
    """
    return min(wanted, max(0, chunk.num_new_frames - chunk.num_motion_frames))


def fade_joins(
    groups: Iterable[tuple[int, Tensor]],
    before: Tensor,
    corner_px: tuple[int, int],
    num_motion: int,
    num_frames: int,
) -> Iterator[tuple[int, Tensor]]:
    """Fade out the jump at a join.

    Args:
        groups: Groups of decoded frames, ``(3, f, H, W)`` in ``[-1, 1]``, which may be a part of
            each frame; with the number of the first frame in the chunk. They have the last motion
            frame and all that follow it.
        before: Whole frame that was shown before the chunk, ``(3, H, W)``.
        corner_px: Row and column of the whole frame where the part begins.
        num_motion: Motion frames of the chunk.
        num_frames: How many new frames are changed.

    Yields:
        The groups, new frames changed.
    """
    hidden: Tensor | None = None
    jump: Tensor | None = None
    for first, frames in groups:
        new = num_motion - first
        if 0 < new <= frames.shape[1]:
            hidden = frames[:, new - 1]
        if 0 <= new < frames.shape[1]:
            assert hidden is not None, "the last motion frame was decoded before"
            jump = jump_at(_part(before, corner_px, frames).to(frames), hidden, frames[:, new])
        changed = frames if jump is None else faded(frames, jump, first - num_motion, num_frames)
        yield first, changed


def jump_at(before: Tensor, hidden: Tensor, first: Tensor) -> Tensor:
    """Return what is to be added to a chunk at its join, all frames ``(..., H, W)``.

    Args:
        before: Last frame that was shown.
        hidden: The same frame, decoded again.
        first: The first new frame.
    """
    return before - hidden + _HELD_BACK * (hidden - first)


def faded(frames: Tensor, jump: Tensor, first: int, num_frames: int) -> Tensor:
    """Add a jump to frames, less of it to each than to the one before.

    Args:
        frames: ``(..., F, H, W)`` in ``[-1, 1]``.
        jump: ``(..., H, W)``. The last motion frame, which is hidden, would get all of it.
        first: Number of the first of ``frames`` among the new ones; motion frames are below 0.
        num_frames: How many new frames are changed.

    Returns:
        ``(..., F, H, W)`` in ``[-1, 1]``; ``frames`` itself where nothing is to be changed.
    """
    start, stop = max(0, -first), min(frames.shape[-3], num_frames - first)
    if start >= stop:
        return frames
    numbers = torch.arange(first + start, first + stop, device=frames.device)
    weights = (1 - (numbers + 1) / (num_frames + 1))[:, None, None]
    changed = frames[..., start:stop, :, :] + weights * jump.unsqueeze(-3)
    rest = frames[..., :start, :, :], frames[..., stop:, :, :]
    return torch.cat([rest[0], changed.clamp(-1, 1), rest[1]], dim=-3)


def _part(whole: Tensor, corner_px: tuple[int, int], like: Tensor) -> Tensor:
    """Return the pixels of ``(3, H, W)`` that ``like`` has of its own frames."""
    (top, left), (height, width) = corner_px, like.shape[-2:]
    return whole[..., top : top + height, left : left + width]

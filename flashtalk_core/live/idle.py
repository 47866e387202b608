"""Frames that are shown while nobody speaks.

Axis legend: F frames, H W pixels; frames are uint8, channel last.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FADE_FRAMES = 6
"""Length of the fade at the join of a loop."""
_SIGNATURE_PX = 16


@dataclass(frozen=True, eq=False)
class IdleLoop:
    """Frames that repeat; one frame is a still picture."""

    frames: Tensor
    """``(F, H, W, 3)`` uint8."""
    signatures: Tensor
    """What :func:`signature` says of each, ``(F, n)``."""

    @classmethod
    def of(cls, frames: Tensor) -> IdleLoop:
        """Return the loop that shows ``frames``, ``(F, H, W, 3)`` uint8, again and again."""
        return cls(frames, torch.stack([signature(frame) for frame in frames]))

    @property
    def is_still(self) -> bool:
        """Whether it is one picture."""
        return len(self.frames) == 1

    def at(self, index: int) -> Tensor:
        """Return a frame, ``(H, W, 3)``; any number."""
        return self.frames[index % len(self.frames)]

    def nearest(self, picture: Tensor) -> int:
        """Return the frame most like ``picture``, ``(H, W, 3)``."""
        return int((self.signatures - signature(picture)).square().sum(1).argmin())


def signature(picture: Tensor) -> Tensor:
    """Return a small grey version of ``(H, W, 3)`` uint8, ``(n,)`` float32."""
    grey = picture.float().mean(dim=-1)[None, None]
    return torch.nn.functional.adaptive_avg_pool2d(grey, _SIGNATURE_PX).flatten()


def blend(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Return ``first`` with a ``share`` of ``second``, both ``(H, W, 3)`` uint8."""
    return torch.lerp(first.float(), second.float(), share).add_(0.5).to(torch.uint8)


def close_loop(frames: Tensor, shortest: int | None = None) -> IdleLoop:
    """Close frames to a loop where they come nearest to themselves.

    The loop's last frames fade into those before its first one, so that the join is as smooth as
    the rest.

    Args:
        frames: ``(F, H, W, 3)`` uint8, one after the other.
        shortest: Least length of the loop; ``None`` is half of what there is.
    """
    total, fade = len(frames), FADE_FRAMES
    shortest = total // 2 if shortest is None else shortest
    assert fade + shortest < total, (total, shortest)
    marks = torch.stack([signature(frame) for frame in frames])
    gaps = torch.cdist(marks, marks)
    pairs = ((i, j) for i in range(fade, total) for j in range(i + shortest, total))
    # Two frames in a row have to be alike: one alone may be passed in the other direction.
    near = gaps[:-1, :-1] + gaps[1:, 1:]
    start, stop = min(pairs, key=lambda pair: float(near[pair[0] - 1, pair[1] - 1]))
    loop = frames[start:stop].clone()
    for step in range(fade):
        at, before = stop - fade + step, start - fade + step
        loop[at - start] = blend(frames[at], frames[before], (step + 1) / (fade + 1))
    return IdleLoop.of(loop)
